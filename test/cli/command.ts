// The built command as its users meet it: `bin/vhost-ts.js` in a process of its own.

import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

import { plainNode } from '../../src/testing/index.js';

const BIN = join(ROOT, 'bin/vhost-ts.js');

/** Permissions mean nothing to root: such a child runs as nobody. */
const NOBODY = 65534;
export const notRoot = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
/** Why nobody can't run this checkout, where it lies in a directory of root's own. */
export const notRootSkip =
  spawnSync('test', ['-r', BIN], notRoot).status === 0 ? false : 'only root can read this checkout';

/** Far beyond what a start or an end takes, also on a loaded machine. */
const PATIENCE_MS = 20_000;
const LOOK_AGAIN_MS = 5;

const children = new Set<ChildProcess>();
const directories: string[] = [];
process.once('exit', () => {
  for (const child of children) {
    child.kill('SIGKILL');
  }
  for (const directory of directories) {
    rmSync(directory, { recursive: true, force: true });
  }
});

/** A directory of its own, gone with this process; open to other users for the permission tests. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'vts-'));
  chmodSync(directory, 0o777);
  directories.push(directory);
  return directory;
}

/** A file of zeroes. */
export function imageFile(directory: string, name: string, bytes: number): string {
  const path = join(directory, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
  stderr(): string;
}

export function start(
  args: readonly string[],
  options: SpawnOptions = {},
  limitMs = PATIENCE_MS,
): Running {
  const child = spawn('env', plainNode(BIN, args), {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  children.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const outcome = new Promise<Outcome>((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(limit);
      children.delete(child);
      resolve({ code, signal, stdout, stderr });
    });
  });
  return { child, outcome, stderr: () => stderr };
}

/** Runs to the end. */
export function run(args: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
  return start(args, options).outcome;
}

/** Waits until the condition holds. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const limitMs = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > limitMs) {
      throw new Error(`waited in vain for ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** Starts and waits for the log line that says it listens. */
export async function startListening(
  args: readonly string[],
  options: SpawnOptions = {},
  /** How long it may run in all. */
  limitMs = PATIENCE_MS,
): Promise<Running> {
  const running = start(args, options, limitMs);
  await until(
    `listening: ${args.join(' ')}`,
    () => running.stderr().includes('listening') || running.child.exitCode !== null,
  );
  return running;
}

/** A front-end's connection. */
export function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** SET_FEATURES with VIRTIO_F_VERSION_1: after it a session counts as one. */
export const SET_FEATURES_MESSAGE = Buffer.from(
  '02000000' + '01000000' + '08000000' + '0000000001000000',
  'hex',
);
