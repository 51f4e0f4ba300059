// What both kinds of ring have in common, told as plainly as possible: the device's side of a
// virtqueue on a copy of guest memory. Nothing is fast here and nothing is shared with the code
// under test; after every step all of memory must be what this says.

import type { QueueErrorCode } from '../../src/core/virtqueue/queue-error.js';
import type { GuestImage } from './guest-image.js';

export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;
export const DESCRIPTOR_BYTES = 16;

const CHAIN_BYTES_MAX = 2 ** 32 - 1;
/** As many as QEMU takes, though the ring be smaller. */
const TABLE_ENTRIES_MAX = 1024;

export interface RingPlaces {
  readonly size: number;
  readonly eventIdx: boolean;
  readonly inOrder: boolean;
  /** Offsets in the file. */
  readonly descriptors: number;
  readonly avail: number;
  readonly used: number;
}

export interface ModelChain {
  readonly head: number;
  readonly readable: number[];
  readonly writable: number[];
  /** Descriptors of the ring itself; of a split ring which. */
  readonly taken: number[];
}

export class ModelFault {
  readonly code: QueueErrorCode;

  constructor(code: QueueErrorCode) {
    this.code = code;
  }
}

interface Descriptor {
  readonly address: bigint;
  readonly length: number;
  readonly flags: number;
}

export type Used = readonly [head: number, writtenBytes: number];

export abstract class RingModel {
  readonly places: RingPlaces;
  image!: GuestImage;
  fault: QueueErrorCode | undefined;
  readonly inFlight = new Map<number, ModelChain>();
  /** In the order of pops: what has ended, but must wait (IN_ORDER). */
  #queue: { readonly head: number; ended: number | undefined }[] = [];
  #undoable: number[] = [];
  protected kicksWanted = true;
  protected everAsked = false;

  constructor(places: RingPlaces) {
    this.places = places;
  }

  abstract readonly nextAvail: number;
  abstract readonly nextUsed: number;
  abstract availIdx(): number;
  abstract usedIdx(): number;
  abstract enableNotification(): boolean;
  abstract disableNotification(): void;
  abstract needsNotification(): boolean;

  /** The next chain, taken; undefined: none. Throws ModelFault. */
  protected abstract take(): ModelChain | undefined;
  protected abstract giveBack(chain: ModelChain): void;
  protected abstract writeUsed(chain: ModelChain, writtenBytes: number): void;
  protected abstract showUsed(): void;

  pop(): ModelChain | QueueErrorCode | undefined {
    if (this.fault !== undefined) {
      return this.fault;
    }
    try {
      const chain = this.take();
      if (chain !== undefined) {
        this.inFlight.set(chain.head, chain);
        this.#queue.push({ head: chain.head, ended: undefined });
        this.#undoable.push(chain.head);
      }
      return chain;
    } catch (error) {
      if (!(error instanceof ModelFault)) {
        throw error;
      }
      this.fault = error.code;
      return error.code;
    }
  }

  /** How many were in flight and are over now. */
  addUsed(list: readonly Used[]): number | QueueErrorCode {
    if (this.fault !== undefined) {
      return this.fault;
    }
    let added = 0;
    let shown = false;
    for (const [head, writtenBytes] of list) {
      const entry = this.#queue.find((one) => one.head === head && one.ended === undefined);
      if (entry === undefined) {
        break;
      }
      added++;
      entry.ended = writtenBytes;
      const at = this.#undoable.indexOf(head);
      this.#undoable.splice(0, at + 1);
      shown = this.#release(entry) || shown;
    }
    if (shown) {
      this.showUsed();
    }
    return added;
  }

  goToPrevious(): boolean {
    const head = this.#undoable.at(-1);
    if (this.fault !== undefined || head === undefined) {
      return false;
    }
    this.#undoable.pop();
    this.#queue.splice(
      this.#queue.findLastIndex((one) => one.head === head),
      1,
    );
    this.giveBack(this.inFlight.get(head) as ModelChain);
    this.inFlight.delete(head);
    return true;
  }

  /** In flight for who asks by its head. */
  open(head: number): ModelChain | undefined {
    const entry = this.#queue.find((one) => one.head === head);
    return entry?.ended === undefined ? this.inFlight.get(head) : undefined;
  }

  /** Heads that can be given back. */
  openHeads(): number[] {
    return [...this.inFlight.keys()].filter((head) => this.open(head) !== undefined);
  }

  #release(entry: { readonly head: number }): boolean {
    const ready = this.places.inOrder
      ? this.#queue.slice(0, endedAtFront(this.#queue))
      : this.#queue.filter((one) => one === entry);
    for (const one of ready) {
      this.writeUsed(this.inFlight.get(one.head) as ModelChain, one.ended as number);
      this.inFlight.delete(one.head);
      this.#queue.splice(this.#queue.indexOf(one), 1);
    }
    return ready.length > 0;
  }

  /** One buffer's bytes behind those the chain has (VIRTIO 1.3 §2.7.4.2, §2.7.5). */
  protected append(chain: ModelChain, { address, length, flags }: Descriptor): void {
    if (length === 0) {
      return;
    }
    const writable = (flags & WRITE) !== 0;
    if (!writable && chain.writable.length > 0) {
      throw new ModelFault('INVALID_CHAIN');
    }
    if (chain.readable.length + chain.writable.length + length > CHAIN_BYTES_MAX) {
      throw new ModelFault('ADDRESS_OVERFLOW');
    }
    const places = this.image.places(address, length);
    if (places === undefined) {
      throw new ModelFault('GUEST_MEMORY');
    }
    (writable ? chain.writable : chain.readable).push(...places);
  }

  /** The bytes of an indirect table, gathered. */
  protected table(address: bigint, length: number): DataView {
    const entries = length / DESCRIPTOR_BYTES;
    const max = Math.max(this.places.size, TABLE_ENTRIES_MAX);
    if (entries < 1 || !Number.isInteger(entries) || entries > max) {
      throw new ModelFault('INVALID_INDIRECT_DESCRIPTOR_TABLE');
    }
    const places = this.image.places(address, length);
    if (places === undefined) {
      throw new ModelFault('GUEST_MEMORY');
    }
    return new DataView(Uint8Array.from(places, (at) => this.image.bytes[at] as number).buffer);
  }
}

function endedAtFront(queue: readonly { readonly ended: number | undefined }[]): number {
  const at = queue.findIndex(({ ended }) => ended === undefined);
  return at < 0 ? queue.length : at;
}
