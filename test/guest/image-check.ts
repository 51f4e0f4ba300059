// What the host finds in the image once the daemon is gone.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';

import { DISK_LAYOUT, MIB } from './disk-layout.js';
import type { GuestOutcome } from './guest-run.js';
import { findProgram } from './kernels.js';

const FSCK_LIMIT_MS = 30_000;

function readMib(imagePath: string, atMib: number): Buffer {
  const bytes = Buffer.alloc(MIB);
  const file = openSync(imagePath, 'r');
  try {
    const count = readSync(file, bytes, 0, MIB, atMib * MIB);
    return bytes.subarray(0, count);
  } finally {
    closeSync(file);
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Read-only (-n), so that checking never mends what it should report. */
export function checkFileSystem(imagePath: string): string[] {
  const offset = DISK_LAYOUT.partitionStartMib * MIB;
  const result = spawnSync(
    findProgram('e2fsck') ?? 'e2fsck',
    ['-f', '-n', `${imagePath}?offset=${offset}`],
    { encoding: 'utf8', timeout: FSCK_LIMIT_MS },
  );
  if (result.status === 0) return [];
  return [`image: e2fsck: ${result.error?.message ?? `${result.stdout}${result.stderr}`}`];
}

/** The raw MiB hold what the guest read back, at the place where the guest put it. */
function checkRawArea(imagePath: string, facts: GuestOutcome['facts']): string[] {
  const rows = [
    { name: 'first kept MiB', atMib: 0, sha: facts.get('raw-sha256-first') },
    { name: 'zeroed MiB', atMib: 2, sha: sha256(Buffer.alloc(MIB)) },
    { name: 'last kept MiB', atMib: 3, sha: facts.get('raw-sha256-last') },
  ];
  return rows
    .filter(({ atMib, sha }) => sha256(readMib(imagePath, DISK_LAYOUT.rawStartMib + atMib)) !== sha)
    .map(({ name }) => `image: the ${name} is not what the guest wrote`);
}

export function checkImage(imagePath: string, facts: GuestOutcome['facts']): string[] {
  return [...checkFileSystem(imagePath), ...checkRawArea(imagePath, facts)];
}
