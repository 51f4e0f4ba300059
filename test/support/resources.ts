// Things of the system that a test borrows, given back at its end.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { check, native } from '../../src/native/index.js';

export function temporaryDirectory(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'vt-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Two ends of one non-blocking UNIX stream. Whoever gets an end closes it. */
export function socketPair(): [number, number] {
  const ends = new Int32Array(2);
  check('socketpair', native.socketPair(ends));
  return [ends[0] as number, ends[1] as number];
}

export function eventfd(initial = 0): number {
  return check('eventfd', native.eventfdCreate(initial));
}

export function memfd(bytes: number): number {
  return check('memfd', native.memfdCreate('vhost-ts-test', bytes));
}

/** How many descriptors this process has open, that of the listing included. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Polls until `condition` holds; tests wait for states, not for times. */
export async function until(
  what: string,
  condition: () => boolean,
  limitMs = 30_000,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > endMs) {
      throw new Error(`waited in vain: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
