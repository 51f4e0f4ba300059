// A cursor over the device-readable part of a chain. Every byte is copied once, from guest memory
// to private memory: what was checked can't change any more. Integers are little-endian, as
// virtio's are.

import type { ChainAccess } from './chain-access.js';
import type { ObjectLayout } from './object-layout.js';
import { QueueError } from './queue-error.js';

const SCRATCH_BYTES = 8;

export class ChainReader {
  readonly #access: ChainAccess;
  readonly #scratch = new DataView(new ArrayBuffer(SCRATCH_BYTES));
  #at: number;
  readonly #start: number;
  #end: number;

  constructor(access: ChainAccess, start: number, end: number) {
    this.#access = access;
    this.#start = this.#at = start;
    this.#end = end;
  }

  /** Bytes not read yet. */
  get available(): number {
    return this.#end - this.#at;
  }

  /** Bytes read or skipped. */
  get consumed(): number {
    return this.#at - this.#start;
  }

  /** The next `count` bytes. Throws SHORT_READABLE. How many to take is the driver's word unless
   *  the device bounds it: a chain may describe far more memory than there is. */
  bytes(count: number): Uint8Array {
    this.#need(count);
    const to = new Uint8Array(count);
    this.#copy(to, count);
    return to;
  }

  /** Fills `to` as far as the part goes; the bytes read. */
  readInto(to: Uint8Array): number {
    const count = Math.min(to.byteLength, this.available);
    this.#copy(to, count);
    return count;
  }

  skip(count: number): void {
    this.#need(count);
    this.#at += count;
  }

  u8(): number {
    return this.#number(1).getUint8(0);
  }

  u16(): number {
    return this.#number(2).getUint16(0, true);
  }

  u32(): number {
    return this.#number(4).getUint32(0, true);
  }

  u64(): bigint {
    return this.#number(8).getBigUint64(0, true);
  }

  /** The object that begins here. Throws SHORT_READABLE. */
  object<T>(layout: ObjectLayout<T>): T {
    const from = this.bytes(layout.bytes);
    return layout.decode(new DataView(from.buffer, from.byteOffset, layout.bytes));
  }

  /** Cuts the rest in two: this reader keeps the next `offset` bytes, the answer has what follows.
   *  Throws SPLIT_RANGE. */
  splitAt(offset: number): ChainReader {
    if (!(offset >= 0 && offset <= this.available)) {
      throw new QueueError('SPLIT_RANGE', `${offset} of ${this.available}`);
    }
    const rest = new ChainReader(this.#access, this.#at + offset, this.#end);
    this.#end = this.#at + offset;
    return rest;
  }

  #number(count: number): DataView {
    this.#need(count);
    this.#copy(new Uint8Array(this.#scratch.buffer), count);
    return this.#scratch;
  }

  #need(count: number): void {
    if (!(count >= 0 && count <= this.available)) {
      throw new QueueError('SHORT_READABLE', `${count} of ${this.available}`);
    }
  }

  #copy(to: Uint8Array, count: number): void {
    this.#access.requireOpen();
    if (count > 0 && this.#access.copyOut(this.#at, to, count) !== count) {
      throw new QueueError('GUEST_MEMORY');
    }
    this.#at += count;
  }
}
