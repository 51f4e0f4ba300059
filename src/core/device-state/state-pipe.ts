// Device state through the pipe of SET_DEVICE_STATE_FD, for devices: all of it in, or all of it
// out, never blocking. The other end belongs to a peer that may be slow, gone, or hostile.

import { readSync, writeSync } from 'node:fs';
import { native, READABLE, type Watcher, WRITABLE } from '../../native/index.js';

/** Bytes per read: what a pipe holds. */
const CHUNK_BYTES = 65536;
/** How long the other end may rest. The bytes go to another host, over a link that is throttled. */
const IDLE_TIMEOUT_MS = 10_000;

export interface StatePipeOptions {
  readonly idleTimeoutMs?: number;
}

/** Everything up to the end of the stream. Rejects above `limitBytes`: memory is not the peer's. */
export async function readState(
  fd: number,
  limitBytes: number,
  { idleTimeoutMs = IDLE_TIMEOUT_MS }: StatePipeOptions = {},
): Promise<Uint8Array> {
  native.fdSetNonBlocking(fd);
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, limitBytes + 1 - total));
    const got = await retried(fd, READABLE, idleTimeoutMs, () => readSync(fd, chunk));
    if (got === 0) {
      return Buffer.concat(chunks, total);
    }
    total += got;
    if (total > limitBytes) {
      throw new Error(`device state of more than ${limitBytes} bytes`);
    }
    chunks.push(chunk.subarray(0, got));
  }
}

export async function writeState(
  fd: number,
  bytes: Uint8Array,
  { idleTimeoutMs = IDLE_TIMEOUT_MS }: StatePipeOptions = {},
): Promise<void> {
  native.fdSetNonBlocking(fd);
  for (let sent = 0; sent < bytes.byteLength; ) {
    sent += await retried(fd, WRITABLE, idleTimeoutMs, () => writeSync(fd, bytes, sent));
  }
}

/** The result of a system call that is repeated whenever the descriptor can do more. */
async function retried(
  fd: number,
  events: number,
  idleTimeoutMs: number,
  call: () => number,
): Promise<number> {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
        throw error;
      }
    }
    await readiness(fd, events, idleTimeoutMs);
  }
}

async function readiness(fd: number, events: number, timeoutMs: number): Promise<void> {
  let watcher: Watcher | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      watcher = new native.Watcher(fd, () => resolve());
      watcher.watch(events);
      timer = setTimeout(
        () => reject(new Error('the other end of the device state rests too long')),
        timeoutMs,
      );
    });
  } finally {
    clearTimeout(timer);
    watcher?.close();
  }
}
