// The reader's side of native/core/frame-capture.h: frames a worker shows, in shared memory.

/** struct CaptureHead, in words. */
const HEAD_BYTES = 128;
const HEAD_WRITTEN = 0;
const HEAD_LOST = 1;
const HEAD_READ = 16;
const HEAD_CLOSED = 17;

/** struct CaptureRecord, in words. */
const RECORD_BYTES = 24;
const RECORD_LENGTH = 0;
const RECORD_TAG = 1;
const RECORD_FRAME_BYTES = 2;
const RECORD_STAMP_LOW = 4;
const RECORD_STAMP_HIGH = 5;

/** A frame as it lies in the ring: valid until `release`. */
export interface ShownFrame {
  readonly tag: number;
  readonly bytes: Uint8Array;
  /** Nanoseconds since 1970, in two halves. */
  readonly stampLow: number;
  readonly stampHigh: number;
}

export class CaptureRing {
  readonly #head: Uint32Array;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  #read = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#head = new Uint32Array(memory, 0, HEAD_BYTES / 4);
    this.#words = new Uint32Array(memory, HEAD_BYTES);
    this.#bytes = new Uint8Array(memory, HEAD_BYTES);
    this.#read = this.#head[HEAD_READ] as number;
  }

  /** Memory for a ring with room for this many bytes, a power of two. */
  static create(ringBytes: number): SharedArrayBuffer {
    return new SharedArrayBuffer(HEAD_BYTES + ringBytes);
  }

  /** The next frame; the ones before it are still there, until `release`. */
  next(): ShownFrame | undefined {
    while (this.#read !== Atomics.load(this.#head, HEAD_WRITTEN)) {
      const at = this.#read % this.#bytes.byteLength;
      const word = (index: number) => this.#words[at / 4 + index] as number;
      this.#read = (this.#read + word(RECORD_LENGTH)) >>> 0;
      const tag = word(RECORD_TAG);
      if (tag !== 0) {
        const from = at + RECORD_BYTES;
        return {
          tag,
          bytes: this.#bytes.subarray(from, from + word(RECORD_FRAME_BYTES)),
          stampLow: word(RECORD_STAMP_LOW),
          stampHigh: word(RECORD_STAMP_HIGH),
        };
      }
    }
    return undefined;
  }

  /** What was read may be overwritten. */
  release(): void {
    Atomics.store(this.#head, HEAD_READ, this.#read);
  }

  /** Frames that found no room. */
  get lost(): number {
    return Atomics.load(this.#head, HEAD_LOST);
  }

  /** Nobody reads any more: frames are neither kept nor counted as lost. */
  close(): void {
    Atomics.store(this.#head, HEAD_CLOSED, 1);
  }
}
