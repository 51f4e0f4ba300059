// VIRTIO_F_IN_ORDER, the driver's half (VIRTIO 1.3 §2.7.9, §2.8.11): which chains are out, in the
// order they were made available, and which of them a used element stands for.

import type { Buffer, UsedElement } from './driver-ring.js';

interface ChainOut {
  readonly id: number;
  readonly writableBytes: number;
}

export class ChainOrder {
  #out: ChainOut[] = [];

  add(id: number, buffers: readonly Buffer[]): void {
    const writable = buffers.filter((buffer) => buffer.writable);
    this.#out.push({ id, writableBytes: writable.reduce((sum, { bytes }) => sum + bytes, 0) });
  }

  /** The device may name only the last chain of a batch: those before it were written completely.
   *  Throws when it names none that is out. */
  take(last: UsedElement): UsedElement[] {
    const at = this.#out.findIndex(({ id }) => id === last.id);
    if (at < 0) {
      throw new Error(`the device returned ${last.id}, which it did not have`);
    }
    const skipped = this.#out.splice(0, at + 1).slice(0, at);
    return [...skipped.map(({ id, writableBytes }) => ({ id, length: writableBytes })), last];
  }
}
