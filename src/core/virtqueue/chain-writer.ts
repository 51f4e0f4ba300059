// A cursor over the device-writable part of a chain. All writers cut from one part count into one
// sum, which becomes the used length; cursors only move forward, so no byte counts twice.

import type { ChainAccess } from './chain-access.js';
import type { ObjectLayout } from './object-layout.js';
import { QueueError } from './queue-error.js';

const SCRATCH_BYTES = 8;

export class ChainWriter {
  readonly #access: ChainAccess;
  readonly #scratch = new DataView(new ArrayBuffer(SCRATCH_BYTES));
  readonly #start: number;
  #at: number;
  #end: number;

  constructor(access: ChainAccess, start: number, end: number) {
    this.#access = access;
    this.#start = this.#at = start;
    this.#end = end;
  }

  /** Room that is left, in bytes. */
  get available(): number {
    return this.#end - this.#at;
  }

  /** Bytes written by this cursor. */
  get written(): number {
    return this.#at - this.#start;
  }

  /** All of `bytes`. Throws SHORT_WRITABLE, nothing written then. */
  write(bytes: Uint8Array): void {
    this.#need(bytes.byteLength);
    this.#copy(bytes, bytes.byteLength);
  }

  /** As much of `bytes` as there is room for; how much that was. */
  writeSome(bytes: Uint8Array): number {
    const count = Math.min(bytes.byteLength, this.available);
    this.#copy(bytes, count);
    return count;
  }

  u8(value: number): void {
    this.#number(1).setUint8(0, value);
    this.#flush(1);
  }

  u16(value: number): void {
    this.#number(2).setUint16(0, value, true);
    this.#flush(2);
  }

  u32(value: number): void {
    this.#number(4).setUint32(0, value, true);
    this.#flush(4);
  }

  u64(value: bigint): void {
    this.#number(8).setBigUint64(0, value, true);
    this.#flush(8);
  }

  /** The object, here. Throws SHORT_WRITABLE, nothing written then. */
  object<T>(layout: ObjectLayout<T>, value: T): void {
    const view = new DataView(new ArrayBuffer(layout.bytes));
    layout.encode(view, value);
    this.write(new Uint8Array(view.buffer));
  }

  /** Cuts the rest in two: this writer keeps the next `offset` bytes of room, the answer has what
   *  follows. `splitAt(available - 1)` is the place of a status byte. Throws SPLIT_RANGE. */
  splitAt(offset: number): ChainWriter {
    if (!(offset >= 0 && offset <= this.available)) {
      throw new QueueError('SPLIT_RANGE', `${offset} of ${this.available}`);
    }
    const rest = new ChainWriter(this.#access, this.#at + offset, this.#end);
    this.#end = this.#at + offset;
    return rest;
  }

  #number(count: number): DataView {
    this.#need(count);
    return this.#scratch;
  }

  #flush(count: number): void {
    this.#copy(new Uint8Array(this.#scratch.buffer), count);
  }

  #need(count: number): void {
    if (count > this.available) {
      throw new QueueError('SHORT_WRITABLE', `${count} of ${this.available}`);
    }
  }

  #copy(from: Uint8Array, count: number): void {
    this.#access.requireOpen();
    if (count > 0 && this.#access.copyIn(this.#at, from, count) !== count) {
      throw new QueueError('GUEST_MEMORY');
    }
    this.#at += count;
  }
}
