// What the driver configures of a virtqueue before it is ready: sizes and addresses, checked as
// they are set. Split and packed rings differ in what they allow, and in nothing else.

import { QueueError, type QueueErrorCode } from './queue-error.js';

/** VIRTIO 1.3 §2.7 and §2.8.10.1. */
const RING_SIZE_MAX = 32768;
/** §2.8.1: wrap counters start at 1; the counter is bit 15. */
const PACKED_START = 0x8000;
const POSITION_MAX = 0xffff;

interface Format {
  readonly anySize: boolean;
  /** Of descriptor table, avail ring and used ring; §2.7 and §2.8.10.1. */
  readonly alignments: readonly [number, number, number];
  readonly start: number;
}

const SPLIT: Format = { anySize: false, alignments: [16, 2, 4], start: 0 };
const PACKED: Format = { anySize: true, alignments: [16, 4, 4], start: PACKED_START };

export class QueueConfig {
  readonly packed: boolean;
  readonly maxSize: number;
  readonly #format: Format;
  #size: number;
  #descTable = 0n;
  #availRing = 0n;
  #usedRing = 0n;
  #nextAvail: number;
  #nextUsed: number;
  eventIdx = false;

  /** Throws INVALID_MAX_SIZE. */
  constructor(maxSize: number, packed: boolean) {
    this.packed = packed;
    this.#format = packed ? PACKED : SPLIT;
    if (!this.#allows(maxSize, RING_SIZE_MAX)) {
      throw new QueueError('INVALID_MAX_SIZE', `${maxSize}`);
    }
    this.maxSize = this.#size = maxSize;
    this.#nextAvail = this.#nextUsed = this.#format.start;
  }

  get size(): number {
    return this.#size;
  }

  /** Throws INVALID_SIZE. */
  set size(size: number) {
    if (!this.#allows(size, this.maxSize)) {
      throw new QueueError('INVALID_SIZE', `${size}, at most ${this.maxSize}`);
    }
    this.#size = size;
  }

  get descTable(): bigint {
    return this.#descTable;
  }

  /** Throws INVALID_DESC_TABLE_ALIGN. */
  set descTable(address: bigint) {
    this.#descTable = aligned(address, this.#format.alignments[0], 'INVALID_DESC_TABLE_ALIGN');
  }

  get availRing(): bigint {
    return this.#availRing;
  }

  /** Throws INVALID_AVAIL_RING_ALIGN. */
  set availRing(address: bigint) {
    this.#availRing = aligned(address, this.#format.alignments[1], 'INVALID_AVAIL_RING_ALIGN');
  }

  get usedRing(): bigint {
    return this.#usedRing;
  }

  /** Throws INVALID_USED_RING_ALIGN. */
  set usedRing(address: bigint) {
    this.#usedRing = aligned(address, this.#format.alignments[2], 'INVALID_USED_RING_ALIGN');
  }

  get nextAvail(): number {
    return this.#nextAvail;
  }

  /** Throws INVALID_POSITION. */
  set nextAvail(position: number) {
    this.#nextAvail = this.#position(position);
  }

  get nextUsed(): number {
    return this.#nextUsed;
  }

  /** Throws INVALID_POSITION. */
  set nextUsed(position: number) {
    this.#nextUsed = this.#position(position);
  }

  #allows(size: number, max: number): boolean {
    const whole = Number.isInteger(size) && size >= 1 && size <= max;
    return whole && (this.#format.anySize || (size & (size - 1)) === 0);
  }

  #position(position: number): number {
    if (!(Number.isInteger(position) && position >= 0 && position <= POSITION_MAX)) {
      throw new QueueError('INVALID_POSITION', `${position}`);
    }
    return position;
  }
}

function aligned(address: bigint, alignment: number, code: QueueErrorCode): bigint {
  if (address % BigInt(alignment) !== 0n) {
    throw new QueueError(code, `0x${address.toString(16)}`);
  }
  return BigInt.asUintN(64, address);
}
