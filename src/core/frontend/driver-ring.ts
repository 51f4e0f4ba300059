// The driver side of a split virtqueue (VIRTIO 1.3 §2.7) on shared memory. Honest by default; raw
// writers let a test say anything.

import { ChainOrder } from './chain-order.js';
import type { SharedMemory } from './shared-memory.js';

export const DESC_NEXT = 1;
export const DESC_WRITE = 2;
export const DESC_INDIRECT = 4;

const DESC_BYTES = 16;
const INDEX_MASK = 0xffff;

/** One buffer of a descriptor chain. */
export interface Buffer {
  readonly offset: number;
  readonly bytes: number;
  readonly writable: boolean;
}

export interface RawDescriptor {
  readonly address: bigint;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

export interface UsedElement {
  readonly id: number;
  readonly length: number;
}

export interface DriverRingOptions {
  readonly size: number;
  /** First avail index; also what used.idx starts with. */
  readonly base?: number;
  readonly eventIdx: boolean;
  /** VIRTIO_F_IN_ORDER: the device gives chains back in turn; it may name only the last of many. */
  readonly inOrder?: boolean;
}

export class DriverRing {
  readonly size: number;
  readonly base: number;
  readonly descriptorOffset: number;
  readonly availOffset: number;
  readonly usedOffset: number;
  readonly #memory: SharedMemory;
  readonly #eventIdx: boolean;
  readonly #halves: Uint16Array;
  readonly #order: ChainOrder | undefined;
  #free: number[];
  /** Head index to all descriptors of its chain. */
  readonly #chains = new Map<number, number[]>();
  #availIndex: number;
  #kickedIndex: number;
  #usedIndex: number;

  constructor(memory: SharedMemory, { size, base = 0, eventIdx, inOrder }: DriverRingOptions) {
    this.size = size;
    this.base = base;
    this.#memory = memory;
    this.#eventIdx = eventIdx;
    this.#order = inOrder ? new ChainOrder() : undefined;
    this.descriptorOffset = memory.allocate(size * DESC_BYTES, 16);
    this.availOffset = memory.allocate(6 + 2 * size, 2);
    this.usedOffset = memory.allocate(6 + 8 * size, 4);
    this.#halves = new Uint16Array(memory.buffer);
    this.#free = Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#availIndex = this.#kickedIndex = this.#usedIndex = base;
    memory.bytes.fill(0, this.descriptorOffset, this.usedOffset + 6 + 8 * size);
    this.setAvailIndex(base);
    this.#store(this.usedOffset + 2, base);
    this.setUsedEvent(base);
  }

  /** Descriptors that can still be used. */
  get freeCount(): number {
    return this.#free.length;
  }

  /** Puts a chain into the ring and makes it available; the head index. */
  add(buffers: readonly Buffer[], { indirect = false } = {}): number {
    const head = indirect ? this.#addIndirect(buffers) : this.#addDirect(buffers);
    this.#order?.add(head, buffers);
    this.makeAvailable(head);
    return head;
  }

  /** Shows the device what add() has queued; true when it wants a kick for it (§2.7.7). */
  publish(): boolean {
    this.setAvailIndex(this.#availIndex);
    const former = this.#kickedIndex;
    this.#kickedIndex = this.#availIndex;
    if (!this.#eventIdx) {
      return (this.#load(this.usedOffset) & 1) === 0;
    }
    const event = this.#load(this.usedOffset + 4 + 8 * this.size);
    const sinceEvent = (this.#availIndex - event - 1) & INDEX_MASK;
    return sinceEvent < ((this.#availIndex - former) & INDEX_MASK);
  }

  /** Used elements not seen before; their descriptors are free again. */
  takeUsed(): UsedElement[] {
    const taken: UsedElement[] = [];
    const published = this.#load(this.usedOffset + 2);
    while (this.#usedIndex !== published) {
      const at = this.usedOffset + 4 + 8 * (this.#usedIndex % this.size);
      const id = this.#memory.view.getUint32(at, true);
      const element = { id, length: this.#memory.view.getUint32(at + 4, true) };
      const batch = this.#order?.take(element) ?? [element];
      // §2.7.9: the index goes on by the whole batch, whatever of it was written.
      if (batch.length > ((published - this.#usedIndex) & INDEX_MASK)) {
        throw new Error(`the device returned ${id} out of its turn`);
      }
      for (const each of batch) {
        taken.push(each);
        this.#free.push(...(this.#chains.get(each.id) ?? []));
        this.#chains.delete(each.id);
      }
      this.#usedIndex = (this.#usedIndex + batch.length) & INDEX_MASK;
    }
    // Ask for an interrupt at the very next element.
    this.setUsedEvent(this.#usedIndex);
    return taken;
  }

  get resumeBase(): number {
    return this.#availIndex;
  }

  get hasUsed(): boolean {
    return this.publishedUsed !== this.#usedIndex;
  }

  get availIndex(): number {
    return this.#availIndex;
  }

  get usedIndex(): number {
    return this.#usedIndex;
  }

  /** used.idx as it stands in memory. */
  get publishedUsed(): number {
    return this.#load(this.usedOffset + 2);
  }

  get availEvent(): number {
    return this.#load(this.usedOffset + 4 + 8 * this.size);
  }

  // What follows lets a test say anything, true or not.

  writeDescriptor(index: number, { address, length, flags, next }: RawDescriptor): void {
    writeDescriptorAt(this.#memory, this.descriptorOffset + index * DESC_BYTES, {
      address,
      length,
      flags,
      next,
    });
  }

  makeAvailable(head: number): void {
    this.#store(this.availOffset + 4 + 2 * (this.#availIndex % this.size), head);
    this.#availIndex = (this.#availIndex + 1) & INDEX_MASK;
  }

  setAvailIndex(index: number): void {
    this.#store(this.availOffset + 2, index & INDEX_MASK);
  }

  setUsedEvent(index: number): void {
    this.#store(this.availOffset + 4 + 2 * this.size, index & INDEX_MASK);
  }

  #addDirect(buffers: readonly Buffer[]): number {
    const indices = this.#take(buffers.length);
    buffers.forEach((buffer, i) => {
      const next = indices[i + 1];
      this.writeDescriptor(indices[i] as number, {
        address: this.#memory.guestAddress(buffer.offset),
        length: buffer.bytes,
        flags: (buffer.writable ? DESC_WRITE : 0) | (next === undefined ? 0 : DESC_NEXT),
        next: next ?? 0,
      });
    });
    const head = indices[0] as number;
    this.#chains.set(head, indices);
    return head;
  }

  #addIndirect(buffers: readonly Buffer[]): number {
    const table = this.#memory.allocate(buffers.length * DESC_BYTES, 16);
    buffers.forEach((buffer, i) => {
      const last = i === buffers.length - 1;
      writeDescriptorAt(this.#memory, table + i * DESC_BYTES, {
        address: this.#memory.guestAddress(buffer.offset),
        length: buffer.bytes,
        flags: (buffer.writable ? DESC_WRITE : 0) | (last ? 0 : DESC_NEXT),
        next: last ? 0 : i + 1,
      });
    });
    const [head] = this.#take(1) as [number];
    this.writeDescriptor(head, {
      address: this.#memory.guestAddress(table),
      length: buffers.length * DESC_BYTES,
      flags: DESC_INDIRECT,
      next: 0,
    });
    this.#chains.set(head, [head]);
    return head;
  }

  #take(count: number): number[] {
    if (count > this.#free.length) {
      throw new RangeError(`the ring has ${this.#free.length} free descriptors, not ${count}`);
    }
    return this.#free.splice(-count).reverse();
  }

  #load(offset: number): number {
    return Atomics.load(this.#halves, offset / 2);
  }

  #store(offset: number, value: number): void {
    Atomics.store(this.#halves, offset / 2, value);
  }
}

export function writeDescriptorAt(
  memory: SharedMemory,
  offset: number,
  { address, length, flags, next }: RawDescriptor,
): void {
  memory.view.setBigUint64(offset, address, true);
  memory.view.setUint32(offset + 8, length, true);
  memory.view.setUint16(offset + 12, flags, true);
  memory.view.setUint16(offset + 14, next, true);
}
