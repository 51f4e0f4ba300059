// Descriptor chains written word by word: a driver that keeps no rule.

import {
  DESC_INDIRECT,
  DESC_NEXT,
  DESC_WRITE,
  type DriverRing,
  writeDescriptorAt,
} from '../../src/core/frontend/index.js';
import { native } from '../../src/native/index.js';
import {
  BLK_OUT,
  STATUS_UNWRITTEN,
  type TestFrontend,
  TestQueue,
} from '../../src/testing/index.js';

export const N = DESC_NEXT;
export const W = DESC_WRITE;
export const I = DESC_INDIRECT;
export const DESC_BYTES = 16;
export const QUEUE_SIZE = 128;
const INDEX_MASK = 0xffff;

/** [guest address, bytes, flags, next] */
export type Descriptor = readonly [bigint, number, number?, number?];

/** Queue 0 of a front-end, and one request of 512 bytes to sector 0 to build chains of. */
export class RawChains {
  readonly frontend: TestFrontend;
  readonly ring: DriverRing;
  readonly header: bigint;
  readonly data: bigint;
  readonly status: bigint;
  /** A page for indirect tables and more. */
  readonly page: number;

  constructor(frontend: TestFrontend) {
    this.frontend = frontend;
    this.ring = frontend.queue(0).ring;
    const { memory } = frontend;
    const header = memory.allocate(16);
    memory.view.setUint32(header, BLK_OUT, true);
    memory.view.setBigUint64(header + 8, 0n, true);
    const data = memory.allocate(4096, 4096);
    memory.bytes.fill(0x5a, data, data + 4096);
    const status = memory.allocate(16);
    memory.bytes[status] = STATUS_UNWRITTEN;
    this.page = memory.allocate(64 << 10, 4096);
    this.header = memory.guestAddress(header);
    this.data = memory.guestAddress(data);
    this.status = memory.guestAddress(status);
  }

  /** Guest address of the page, or of a byte in it. */
  at(offset = 0): bigint {
    return this.frontend.memory.guestAddress(this.page + offset);
  }

  /** Descriptors from index 0 on. */
  table(...descriptors: readonly Descriptor[]): this {
    descriptors.forEach(([address, length, flags = 0, next = 0], i) => {
      this.ring.writeDescriptor(i, { address, length, flags, next });
    });
    return this;
  }

  /** Descriptors from the begin of the page (plus `shift` bytes) on. */
  indirect(descriptors: readonly Descriptor[], shift = 0): this {
    descriptors.forEach(([address, length, flags = 0, next = 0], i) => {
      const at = this.page + shift + i * DESC_BYTES;
      writeDescriptorAt(this.frontend.memory, at, { address, length, flags, next });
    });
    return this;
  }

  /** The three descriptors of a good write, as a table from `first` on. */
  good(first = 0): Descriptor[] {
    return [
      [this.header, 16, N, first + 1],
      [this.data, 512, N, first + 2],
      [this.status, 1, W],
    ];
  }

  /** Makes heads available and kicks. */
  offer(...heads: readonly number[]): void {
    for (const head of heads) {
      this.ring.makeAvailable(head);
    }
    this.index(this.ring.availIndex);
  }

  /** Sets avail.idx and kicks. */
  index(index: number): void {
    this.ring.setAvailIndex(index & INDEX_MASK);
    this.frontend.queue(0).kick();
  }

  get statusByte(): number {
    const { memory } = this.frontend;
    return memory.bytes[Number(this.status - memory.guestBase)] as number;
  }
}

/** Stops queue 0 and sets it up anew with a ring and descriptors of its own. */
export async function renew(frontend: TestFrontend, eventIdx = true): Promise<void> {
  await frontend.frontend.getVringBase(0);
  const former = frontend.queue(0);
  const queue = new TestQueue(frontend.memory, 0, { size: former.ring.size, base: 7, eventIdx });
  frontend.queues[0] = queue;
  former.close();
  await frontend.startQueue(queue, 7);
  await frontend.frontend.setVringEnable(0, true);
}

/** How often the queue's err descriptor was signalled so far. */
export function errors({ errFd }: TestQueue): number {
  return native.eventfdRead(errFd);
}
