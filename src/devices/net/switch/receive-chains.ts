// Receive chains a guest of the switch has posted, in its order.

import type { CommandWriter } from '../../../core/virtqueue/command-writer.js';
import { HEADER_BYTES } from '../format.js';

/** num_buffers has 16 bits, and nobody makes frames of more pieces: a bound on the work for one. */
const CHAINS_PER_FRAME_MAX = 1024;

export class ReceiveChains {
  readonly #commands: CommandWriter;
  /** Rings of `mask + 1`: a queue has no more chains than descriptors. */
  readonly #chains: Uint32Array;
  readonly #room: Uint32Array;
  readonly #mask: number;
  #head = 0;
  #tail = 0;
  /** A frame may go over several chains. */
  merge = false;

  constructor(commands: CommandWriter, queueSize: number) {
    this.#commands = commands;
    this.#chains = new Uint32Array(queueSize);
    this.#room = new Uint32Array(queueSize);
    this.#mask = queueSize - 1;
  }

  /** Takes a chain. One too short for a header goes back at once (NT-012). */
  post(chain: number, roomBytes: number): void {
    if (roomBytes < HEADER_BYTES) {
      this.#commands.complete(chain, 0);
      return;
    }
    this.#chains[this.#tail & this.#mask] = chain;
    this.#room[this.#tail & this.#mask] = roomBytes;
    this.#tail++;
  }

  /** How many chains so many bytes take; 0: there is no room. */
  chainsFor(bytes: number): number {
    const last = Math.min(this.#tail, this.#head + (this.merge ? CHAINS_PER_FRAME_MAX : 1));
    let room = 0;
    for (let at = this.#head; at < last; at++) {
      room += this.#room[at & this.#mask] as number;
      if (room >= bytes) {
        return at - this.#head + 1;
      }
    }
    return 0;
  }

  /** The next chain, the caller's now. */
  take(): number {
    return this.#chains[this.#head++ & this.#mask] as number;
  }

  /** The ring stops: chains go back into it untouched, the last one first. */
  takeBack(): void {
    for (let at = this.#tail - 1; at >= this.#head; at--) {
      this.#commands.unpop(this.#chains[at & this.#mask] as number);
    }
    this.#head = this.#tail = 0;
  }
}
