// Frames that come out of a stream, put together and given to the driver as long as it has chains
// for them. It has none: nothing more is read, and the peer's socket fills up (NT-015).

import type { Arena } from '../arena.js';
import { FRAME_BYTES_MAX, FRAME_BYTES_MIN } from '../format.js';
import type { Receiver } from '../receive-queue.js';
import { LENGTH_BYTES, STREAM_BUFFER_BYTES } from './stream-output.js';

export class StreamInput {
  /** The driver can be given frames. */
  attached = false;
  /** A length that no frame has: where the next begins nobody can tell (NT-031). */
  broken = false;
  readonly #receive: Receiver;
  readonly #start: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #to = 0;
  #ordered = false;

  constructor(arena: Arena, receive: Receiver) {
    this.#receive = receive;
    this.#start = arena.allocate(STREAM_BUFFER_BYTES);
    this.#bytes = arena.bytes.subarray(this.#start, this.#start + STREAM_BUFFER_BYTES);
    this.#view = new DataView(this.#bytes.buffer, this.#start, STREAM_BUFFER_BYTES);
  }

  /** Where in the arena the next bytes belong, and how many have room. */
  get offset(): number {
    return this.#start + this.#to;
  }

  get room(): number {
    return this.broken ? 0 : STREAM_BUFFER_BYTES - this.#to;
  }

  /** A receive writes there: until it has, nothing moves. */
  ordered(): void {
    this.#ordered = true;
  }

  /** What it got, if anything. */
  arrived(bytes: number): void {
    this.#ordered = false;
    this.#to += bytes;
  }

  /** Gives the driver every whole frame it has room for. */
  deliver(): void {
    if (this.#ordered) {
      return;
    }
    let at = 0;
    while (this.attached && !this.broken && this.#to - at >= LENGTH_BYTES) {
      const frameBytes = this.#view.getUint32(at);
      this.broken = frameBytes > FRAME_BYTES_MAX;
      const end = at + LENGTH_BYTES + frameBytes;
      if (this.broken || end > this.#to || !this.#take(at + LENGTH_BYTES, end)) {
        break;
      }
      at = end;
    }
    if (at > 0) {
      this.#bytes.copyWithin(0, at, this.#to);
      this.#to -= at;
    }
  }

  reset(): void {
    this.#to = 0;
    this.broken = false;
  }

  /** False: it has to wait for chains. */
  #take(from: number, end: number): boolean {
    if (end - from < FRAME_BYTES_MIN) {
      this.#receive.dropped('length');
      return true;
    }
    if (this.#receive.deliver(this.#bytes.subarray(from, end))) {
      return true;
    }
    if (!this.#receive.ready) {
      return false;
    }
    this.#receive.dropped('room');
    return true;
  }
}
