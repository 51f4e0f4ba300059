// Builds and runs native-face.cc: the rings by themselves.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Result } from './result.js';

/** Rings of 256, as most guests have. */
export const RING_SIZE = 256;

/** All of native/core, and the driver its tests use. Flags are those of binding.gyp. */
export function buildNativeFace(root: string, binary: string): void {
  const core = readdirSync(join(root, 'native/core')).filter((name) => name.endsWith('.cc'));
  const sources = [
    join(root, 'bench/virtqueue/native-face.cc'),
    ...core.map((name) => join(root, 'native/core', name)),
    ...['check.cc', 'driver.cc', 'packed-driver-ring.cc'].map((name) =>
      join(root, 'native/test', name),
    ),
  ];
  const headers = ['native/core', 'native/test'].flatMap((place) =>
    readdirSync(join(root, place)).map((name) => join(root, place, name)),
  );
  const newest = Math.max(...[...sources, ...headers].map((file) => statSync(file).mtimeMs));
  if ((statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0) > newest) {
    return;
  }
  mkdirSync(dirname(binary), { recursive: true });
  const flags = ['-std=c++20', '-O3', '-pthread', '-Inative/core', '-Inative/test'];
  const files = [...sources, '-o', binary, '-l:liburing.a'];
  execFileSync('g++', [...flags, ...files], { cwd: root, stdio: 'inherit' });
}

export function runNativeFace(binary: string, rounds: number, fills: number): Result[] {
  const args = [RING_SIZE, rounds, fills].map(String);
  return JSON.parse(execFileSync(binary, args, { encoding: 'utf8' })) as Result[];
}
