// Private memory that commands name in place of guest memory, handed out once and never given back.

/** A cache line: two areas written by turns share none. */
const ALIGN_BYTES = 64;

export class Arena {
  readonly bytes: Uint8Array;
  #used = 0;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
  }

  /** Offset of a new area. Throws when there is no room: sizes are computed beforehand. */
  allocate(sizeBytes: number): number {
    const offset = this.#used;
    this.#used += Arena.rounded(sizeBytes);
    if (this.#used > this.bytes.byteLength) {
      throw new RangeError(`no ${sizeBytes} bytes left in an arena of ${this.bytes.byteLength}`);
    }
    return offset;
  }

  words(offset: number, count: number): Uint32Array {
    return new Uint32Array(this.bytes.buffer, offset, count);
  }

  static rounded(sizeBytes: number): number {
    return Math.ceil(sizeBytes / ALIGN_BYTES) * ALIGN_BYTES;
  }
}
