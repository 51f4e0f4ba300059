// The driver side of a packed virtqueue (VIRTIO 1.3 §2.8) on shared memory. Honest by default; raw
// writers let a test say anything.

import { ChainOrder } from './chain-order.js';
import {
  type Buffer,
  DESC_INDIRECT,
  DESC_NEXT,
  DESC_WRITE,
  type UsedElement,
} from './driver-ring.js';
import type { SharedMemory } from './shared-memory.js';

export const PACKED_DESC_AVAIL = 0x80;
export const PACKED_DESC_USED = 0x8000;

/** Event suppression (§2.8.14): place, then flags. */
const EVENT_BYTES = 4;
const EVENT_FLAGS_AT = 2;
export const EVENT_ENABLE = 0;
export const EVENT_DISABLE = 1;
export const EVENT_DESC = 2;

const DESC_BYTES = 16;
const FLAGS_AT = 14;
const WRAP_BIT = 0x8000;
const INDEX_MASK = 0x7fff;
/** Index 0 in a ring that begins: wrap counters start at 1 (§2.8.1). */
const FIRST_POSITION = WRAP_BIT;

/** An index and the wrap counter above it, as in event structures and bases. */
type Position = number;

export interface PackedDescriptor {
  readonly address: bigint;
  readonly length: number;
  readonly id: number;
  readonly flags: number;
}

export interface PackedDriverRingOptions {
  readonly size: number;
  readonly base?: Position;
  readonly eventIdx: boolean;
  /** As of DriverRing. */
  readonly inOrder?: boolean;
}

export class PackedDriverRing {
  readonly size: number;
  readonly descriptorOffset: number;
  /** The driver's event suppression structure, where a split ring has the avail ring. */
  readonly availOffset: number;
  /** The device's. */
  readonly usedOffset: number;
  readonly #memory: SharedMemory;
  readonly #eventIdx: boolean;
  readonly #halves: Uint16Array;
  readonly #order: ChainOrder | undefined;
  readonly #ids: number[];
  /** Buffer id to the entries of its chain. */
  readonly #lengths = new Map<number, number>();
  /** First flags of chains the device must not see yet. */
  #hidden: { readonly index: number; readonly flags: number }[] = [];
  #entriesSinceKick = 0;
  #free: number;
  #avail: Position;
  #used: Position;

  constructor(memory: SharedMemory, { size, base, eventIdx, inOrder }: PackedDriverRingOptions) {
    this.size = size;
    this.#memory = memory;
    this.#eventIdx = eventIdx;
    this.#order = inOrder ? new ChainOrder() : undefined;
    this.descriptorOffset = memory.allocate(size * DESC_BYTES, 16);
    this.availOffset = memory.allocate(EVENT_BYTES, 4);
    this.usedOffset = memory.allocate(EVENT_BYTES, 4);
    this.#halves = new Uint16Array(memory.buffer);
    this.#ids = Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#free = size;
    this.#avail = this.#used = base ?? FIRST_POSITION;
    memory.bytes.fill(0, this.descriptorOffset, this.usedOffset + EVENT_BYTES);
    for (let index = 0; index < size; index++) {
      // As a driver finds it that comes here after some rounds: all entries used, those before
      // this place in the present round.
      const thisRound = index < (this.#avail & INDEX_MASK);
      const bothSet = thisRound === ((this.#avail & WRAP_BIT) !== 0);
      this.writeFlags(index, bothSet ? PACKED_DESC_AVAIL | PACKED_DESC_USED : 0);
    }
    this.#askForCall();
  }

  get freeCount(): number {
    return this.#free;
  }

  get resumeBase(): number {
    return ((this.#avail << 16) | this.#avail) >>> 0;
  }

  get hasUsed(): boolean {
    const flags = this.#load(this.#flagsAt(this.#used & INDEX_MASK));
    const wrap = (this.#used & WRAP_BIT) !== 0;
    return (
      ((flags & PACKED_DESC_USED) !== 0) === wrap && ((flags & PACKED_DESC_AVAIL) !== 0) === wrap
    );
  }

  /** Queues a chain; its buffer id. */
  add(buffers: readonly Buffer[], { indirect = false } = {}): number {
    const entries = indirect ? 1 : buffers.length;
    const id = this.#ids.at(-1);
    if (entries > this.#free || id === undefined) {
      throw new RangeError(`the ring has ${this.#free} free descriptors, not ${entries}`);
    }
    this.#ids.pop();
    this.#order?.add(id, buffers);
    if (indirect) {
      const length = buffers.length * DESC_BYTES;
      this.addRaw([{ address: this.#table(buffers), length, id, flags: DESC_INDIRECT }]);
    } else {
      this.addRaw(buffers.map((buffer, i) => this.#element(buffer, id, i < entries - 1)));
    }
    return id;
  }

  /** Shows the device what add() has queued; true when it wants a kick for it (§2.8.10). */
  publish(): boolean {
    // The first chain's flags last: the device stops at it until everything is there.
    for (const { index, flags } of this.#hidden.reverse()) {
      this.writeFlags(index, flags);
    }
    this.#hidden = [];
    const added = this.#entriesSinceKick;
    this.#entriesSinceKick = 0;
    const flags = this.#load(this.usedOffset + EVENT_FLAGS_AT);
    if (flags !== EVENT_DESC) {
      return flags === EVENT_ENABLE;
    }
    const behind = this.#distance(this.#load(this.usedOffset), this.#avail);
    return behind > 0 && behind <= added;
  }

  takeUsed(): UsedElement[] {
    const taken: UsedElement[] = [];
    while (this.hasUsed) {
      const at = this.descriptorOffset + (this.#used & INDEX_MASK) * DESC_BYTES;
      const id = this.#memory.view.getUint16(at + 12, true);
      const element = { id, length: this.#memory.view.getUint32(at + 8, true) };
      const batch = this.#order?.take(element) ?? [element];
      taken.push(...batch);
      // §2.8.11: the next used descriptor is behind the whole batch.
      for (const each of batch) {
        this.#giveBack(each.id);
      }
    }
    this.#askForCall();
    return taken;
  }

  // What follows lets a test say anything, true or not.

  /** Where the next chain begins. */
  get availPosition(): Position {
    return this.#avail;
  }

  /** Queues a chain as it is; AVAIL and USED are added. */
  addRaw(chain: readonly PackedDescriptor[]): void {
    chain.forEach((descriptor, i) => {
      const index = this.#avail & INDEX_MASK;
      const round = (this.#avail & WRAP_BIT) !== 0 ? PACKED_DESC_AVAIL : PACKED_DESC_USED;
      const flags = descriptor.flags | round;
      this.#writeFields(this.descriptorOffset + index * DESC_BYTES, descriptor);
      if (i === 0) {
        this.#hidden.push({ index, flags });
      } else {
        this.writeFlags(index, flags);
      }
      this.#avail = this.#advance(this.#avail, 1);
    });
    this.#lengths.set(chain.at(-1)?.id ?? 0, chain.length);
    this.#free -= chain.length;
    this.#entriesSinceKick += chain.length;
  }

  writeFlags(index: number, flags: number): void {
    Atomics.store(this.#halves, this.#flagsAt(index) / 2, flags);
  }

  setDriverEvent(place: Position, flags: number): void {
    Atomics.store(this.#halves, this.availOffset / 2, place);
    Atomics.store(this.#halves, (this.availOffset + EVENT_FLAGS_AT) / 2, flags);
  }

  #giveBack(id: number): void {
    const entries = this.#lengths.get(id);
    if (entries === undefined) {
      throw new Error(`the device returned buffer id ${id}, which it did not have`);
    }
    this.#lengths.delete(id);
    this.#ids.push(id);
    this.#free += entries;
    this.#used = this.#advance(this.#used, entries);
  }

  #askForCall(): void {
    this.setDriverEvent(this.#used, this.#eventIdx ? EVENT_DESC : EVENT_ENABLE);
  }

  #element({ offset, bytes, writable }: Buffer, id: number, more: boolean): PackedDescriptor {
    const flags = (writable ? DESC_WRITE : 0) | (more ? DESC_NEXT : 0);
    return { address: this.#memory.guestAddress(offset), length: bytes, id, flags };
  }

  /** An indirect table (§2.8.7): entries in a row, of whose flags only WRITE counts. */
  #table(buffers: readonly Buffer[]): bigint {
    const table = this.#memory.allocate(buffers.length * DESC_BYTES, 16);
    buffers.forEach((buffer, i) => {
      const element = this.#element(buffer, 0, false);
      this.#writeFields(table + i * DESC_BYTES, element);
      this.#memory.view.setUint16(table + i * DESC_BYTES + FLAGS_AT, element.flags, true);
    });
    return this.#memory.guestAddress(table);
  }

  #writeFields(at: number, { address, length, id }: PackedDescriptor): void {
    this.#memory.view.setBigUint64(at, address, true);
    this.#memory.view.setUint32(at + 8, length, true);
    this.#memory.view.setUint16(at + 12, id, true);
  }

  #flagsAt(index: number): number {
    return this.descriptorOffset + index * DESC_BYTES + FLAGS_AT;
  }

  #advance(from: Position, entries: number): Position {
    const index = (from & INDEX_MASK) + entries;
    const wrap = from & WRAP_BIT;
    return index < this.size ? index | wrap : (index - this.size) | (wrap ^ WRAP_BIT);
  }

  /** Entries from one position to a later one, within two rounds. */
  #distance(from: Position, to: Position): number {
    const linear = (at: Position) => (at & INDEX_MASK) + ((at & WRAP_BIT) !== 0 ? 0 : this.size);
    const round = 2 * this.size;
    return (linear(to) - linear(from) + round) % round;
  }

  #load(offset: number): number {
    return Atomics.load(this.#halves, offset / 2);
  }
}
