// Frames on their way into a stream: each behind its length, gathered until the socket takes them.

import type { Arena } from '../arena.js';

/** Four of the longest frames; one system call moves as much. */
export const STREAM_BUFFER_BYTES = 256 << 10;
export const LENGTH_BYTES = 4;

export class StreamOutput {
  readonly #start: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #from = 0;
  #to = 0;

  constructor(arena: Arena) {
    this.#start = arena.allocate(STREAM_BUFFER_BYTES);
    this.#bytes = arena.bytes.subarray(this.#start, this.#start + STREAM_BUFFER_BYTES);
    this.#view = new DataView(this.#bytes.buffer, this.#start, STREAM_BUFFER_BYTES);
  }

  /** Where in the arena it begins what is to be sent. */
  get offset(): number {
    return this.#start + this.#from;
  }

  get bytes(): number {
    return this.#to - this.#from;
  }

  /** A place for the frame, its length written in front; undefined when there is no room. */
  reserve(frameBytes: number): Uint8Array | undefined {
    const at = this.#to + LENGTH_BYTES;
    if (at + frameBytes > STREAM_BUFFER_BYTES) {
      return undefined;
    }
    this.#view.setUint32(this.#to, frameBytes);
    this.#to = at + frameBytes;
    return this.#bytes.subarray(at, this.#to);
  }

  /** Lets `write` put frames, each behind its length, behind the others: it gets the buffer, an
   *  offset and the room from there on, and answers how many bytes that takes. False: more than the
   *  room; nothing was written. */
  append(write: (to: Uint8Array, offset: number, room: number) => number): boolean {
    const room = STREAM_BUFFER_BYTES - this.#to;
    const bytes = write(this.#bytes, this.#to, room);
    if (bytes > room) {
      return false;
    }
    this.#to += bytes;
    return true;
  }

  /** The socket took so many bytes; nothing else is under way, so the rest may move. */
  sent(bytes: number): void {
    this.#from += bytes;
    this.#bytes.copyWithin(0, this.#from, this.#to);
    this.#to -= this.#from;
    this.#from = 0;
  }

  reset(): void {
    this.#from = this.#to = 0;
  }
}
