// Requests that are in the ring, and nobody waits for.

import { BLK_OUT, STATUS_UNWRITTEN, type TestFrontend } from '../../src/testing/index.js';

/** How long a daemon may take to give all of them back. */
const DRAIN_MS = 2000;

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export interface Posted {
  readonly head: number;
  readonly statusOffset: number;
  readonly dataOffset: number;
}

/** Makes `count` 4 KiB writes available and kicks; does not wait for them. */
export function postWrites(frontend: TestFrontend, count: number, queueIndex = 0): Posted[] {
  const posted = prepareWrites(frontend, count, queueIndex);
  frontend.queue(queueIndex).kick();
  return posted;
}

/** The same without the kick. */
export function prepareWrites(frontend: TestFrontend, count: number, queueIndex = 0): Posted[] {
  const { memory } = frontend;
  const queue = frontend.queue(queueIndex);
  const posted = Array.from({ length: count }, (_, i) => {
    const header = memory.allocate(16);
    memory.view.setUint32(header, BLK_OUT, true);
    memory.view.setBigUint64(header + 8, BigInt(i * 8), true);
    const dataOffset = memory.allocate(4096, 4096);
    const statusOffset = memory.allocate(1, 1);
    memory.bytes[statusOffset] = STATUS_UNWRITTEN;
    const head = queue.ring.add([
      { offset: header, bytes: 16, writable: false },
      { offset: dataOffset, bytes: 4096, writable: false },
      { offset: statusOffset, bytes: 1, writable: true },
    ]);
    return { head, statusOffset, dataOffset };
  });
  queue.ring.publish();
  return posted;
}

/** True once the device has returned everything made available on a queue. */
export async function drained(frontend: TestFrontend, queueIndex = 0): Promise<boolean> {
  const { ring } = frontend.queue(queueIndex);
  const endMs = performance.now() + DRAIN_MS;
  while (ring.publishedUsed !== ring.availIndex) {
    if (performance.now() > endMs) {
      return false;
    }
    await pause(1);
  }
  return true;
}
