// A ring that a driver may fill with anything, on memory that has what bad addresses are made of: two
// regions that adjoin for the guest, and a hole behind them.

import type { Test } from 'tap';
import {
  DESC_INDIRECT,
  DESC_NEXT,
  DESC_WRITE,
  writeDescriptorAt,
} from '../../src/core/frontend/index.js';
import { GuestMemory } from '../../src/core/memory/guest-memory.js';
import { QueueError, type Virtqueue } from '../../src/core/virtqueue/index.js';
import { QueueRig, type QueueRigOptions } from './queue-rig.js';

export const N = DESC_NEXT;
export const W = DESC_WRITE;
export const I = DESC_INDIRECT;

const KIB = 1024;
const MEMORY_BYTES = 1024 * KIB;

/** [address, bytes, flags, next (split) or id (packed)] */
export type Raw = readonly [bigint, number, number?, number?];

export type Face = 'plain' | 'batch';

export class RawRing {
  readonly rig: QueueRig;
  readonly queue: Virtqueue;
  /** 64 KiB of data. */
  readonly data: bigint;
  /** Where the second region begins, and where the hole behind it does. */
  readonly joint: bigint;
  readonly hole: bigint;
  readonly #face: Face;
  readonly #table: number;

  constructor(t: Test, face: Face, options: QueueRigOptions) {
    this.#face = face;
    const memoryBytes = options.memoryBytes ?? MEMORY_BYTES;
    const firstBytes = memoryBytes / 2;
    const secondBytes = memoryBytes / 4;
    this.rig = new QueueRig(t, { eventIdx: true, ...options, memoryBytes });
    const { shared } = this.rig;
    this.data = shared.guestAddress(shared.allocate(64 * KIB, 4096));
    this.#table = shared.allocate(64 * KIB, 4096);
    this.joint = shared.guestAddress(firstBytes);
    this.hole = this.joint + BigInt(secondBytes);
    const first = { ...shared.region, fd: shared.fd, sizeBytes: BigInt(firstBytes) };
    const second = {
      ...first,
      guestAddress: this.joint,
      userAddress: first.userAddress + BigInt(firstBytes),
      sizeBytes: BigInt(secondBytes),
      mmapOffsetBytes: BigInt(firstBytes + secondBytes),
    };
    const memory = GuestMemory.of([first, second]);
    t.teardown(() => memory.release());
    this.queue = this.rig.queue;
    this.queue.setMemory(memory);
    this.queue.ready = true;
  }

  get size(): number {
    return this.queue.size;
  }

  /** Split: descriptors from index 0 on. */
  descriptors(...list: readonly Raw[]): this {
    list.forEach(([address, length, flags = 0, next = 0], i) => {
      this.rig.split.writeDescriptor(i, { address, length, flags, next });
    });
    return this;
  }

  /** Split: makes these heads available. */
  heads(...heads: readonly number[]): this {
    for (const head of heads) {
      this.rig.split.makeAvailable(head);
    }
    this.rig.split.publish();
    return this;
  }

  /** Packed: one chain, AVAIL and USED added. */
  chain(...list: readonly Raw[]): this {
    const elements = list.map(([address, length, flags = 0, id = 0]) => ({
      address,
      length,
      flags,
      id,
    }));
    this.rig.packedRing.addRaw(elements);
    this.rig.packedRing.publish();
    return this;
  }

  /** Entries of an indirect table in the format of the ring; its address. `shift` misaligns it. */
  table(list: readonly Raw[], shift = 0): bigint {
    const { shared } = this.rig;
    list.forEach(([address, length, flags = 0, next = 0], i) => {
      const [third, fourth] = this.queue.packed ? [next, flags] : [flags, next];
      const at = this.#table + shift + 16 * i;
      writeDescriptorAt(shared, at, { address, length, flags: third, next: fourth });
    });
    return shared.guestAddress(this.#table + shift);
  }

  /** All that can be popped: what the chains are like, and the fault that ends it. */
  popAll(): (readonly [readable: number, writable: number] | string)[] {
    const found: (readonly [number, number] | string)[] = [];
    try {
      if (this.#face === 'plain') {
        for (;;) {
          const chain = this.queue.popDescriptorChain();
          if (chain === undefined) {
            return found;
          }
          found.push([chain.readableBytes, chain.writableBytes]);
        }
      }
      for (let batch = this.queue.popBatch(); batch.count > 0; batch = this.queue.popBatch()) {
        for (let i = 0; i < batch.count; i++) {
          found.push([batch.readableBytes(i), batch.writableBytes(i)]);
        }
      }
    } catch (error) {
      if (!(error instanceof QueueError)) {
        throw error;
      }
      found.push(error.code);
    }
    return found;
  }
}
