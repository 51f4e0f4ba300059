// One virtqueue in this process, both sides of it: the driver's ring in shared memory and the
// device's Virtqueue on it.

import type { Test } from 'tap';
import {
  type Buffer,
  createRingDriver,
  DriverRing,
  PackedDriverRing,
  type RingDriver,
  SharedMemory,
} from '../../src/core/frontend/index.js';
import { GuestMemory } from '../../src/core/memory/guest-memory.js';
import { Virtqueue, type VirtqueueOptions } from '../../src/core/virtqueue/index.js';

const MEMORY_BYTES = 1 << 20;

export interface QueueRigOptions
  extends Pick<VirtqueueOptions, 'inOrder' | 'addresses' | 'headerBytes' | 'inflight'> {
  readonly packed: boolean;
  readonly size?: number;
  readonly eventIdx?: boolean;
  readonly base?: number;
  readonly memoryBytes?: number;
  /** A file to share in place of a memfd, which can't be cut. */
  readonly fd?: number;
}

export class QueueRig {
  readonly shared: SharedMemory;
  readonly memory: GuestMemory;
  readonly driver: RingDriver;
  readonly queue: Virtqueue;

  constructor(t: Pick<Test, 'teardown'>, options: QueueRigOptions) {
    const { packed, size = 8, eventIdx = false, base, memoryBytes = MEMORY_BYTES } = options;
    const addresses = options.addresses ?? 'guest';
    const file = options.fd === undefined ? {} : { fd: options.fd };
    this.shared = new SharedMemory({ sizeBytes: memoryBytes, addresses, ...file });
    this.memory = GuestMemory.of([{ ...this.shared.region, fd: this.shared.fd }]);
    const place = base === undefined ? {} : { base };
    this.driver = createRingDriver(this.shared, { size, eventIdx, packed, ...place });
    this.queue = new Virtqueue({ ...options, memory: this.memory, maxSize: size });
    this.configure(this.queue, eventIdx);
    if (base !== undefined) {
      this.queue.nextAvail = this.queue.nextUsed = base;
    }
    t.teardown(() => this.close());
  }

  configure(queue: Virtqueue, eventIdx: boolean): void {
    const { descriptorOffset, availOffset, usedOffset } = this.driver;
    queue.descTable = this.shared.userAddress(descriptorOffset);
    queue.availRing = this.shared.userAddress(availOffset);
    queue.usedRing = this.shared.userAddress(usedOffset);
    queue.eventIdx = eventIdx;
  }

  get split(): DriverRing {
    if (!(this.driver instanceof DriverRing)) {
      throw new Error('the ring is packed');
    }
    return this.driver;
  }

  get packedRing(): PackedDriverRing {
    if (!(this.driver instanceof PackedDriverRing)) {
      throw new Error('the ring is split');
    }
    return this.driver;
  }

  /** A buffer the device reads. */
  readable(bytes: Uint8Array): Buffer {
    const offset = this.shared.allocate(bytes.byteLength);
    this.shared.bytes.set(bytes, offset);
    return { offset, bytes: bytes.byteLength, writable: false };
  }

  /** A buffer the device writes. */
  writable(bytes: number): Buffer {
    return { offset: this.shared.allocate(bytes), bytes, writable: true };
  }

  bytesOf({ offset, bytes }: Buffer): Uint8Array {
    return this.shared.bytes.slice(offset, offset + bytes);
  }

  /** Makes chains of one readable and one writable buffer available; what names them. */
  offer(count = 1, indirect = false): number[] {
    const ids = Array.from({ length: count }, (_, i) =>
      this.driver.add([this.readable(Uint8Array.of(i, 1, 2, 3)), this.writable(16)], { indirect }),
    );
    this.driver.publish();
    return ids;
  }

  close(): void {
    this.queue.ready = false;
    this.memory.release();
    this.shared.close();
  }
}
