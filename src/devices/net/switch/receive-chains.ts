// Receive chains a guest of the switch has posted, in its order: a shelf in the arena, where native
// code puts them, and of which it takes those for frames that flows speak for.

import type { CommandWriter } from '../../../core/virtqueue/command-writer.js';
import { exchange } from '../../../native/index.js';
import type { Arena } from '../arena.js';
import { HEADER_BYTES } from '../format.js';

/** num_buffers has 16 bits, and nobody makes frames of more pieces: a bound on the work for one. */
const CHAINS_PER_FRAME_MAX = 1024;

const WORD_BYTES = 4;

export class ReceiveChains {
  /** Of the shelf, in the arena. */
  readonly offset: number;
  readonly #commands: CommandWriter;
  readonly #words: Uint32Array;
  /** A queue has no more chains than descriptors, so there is a place for each. */
  readonly #mask: number;
  readonly #rooms: number;
  /** A frame may go over several chains. */
  merge = false;

  constructor(commands: CommandWriter, arena: Arena, queueSize: number) {
    this.#commands = commands;
    this.offset = arena.allocate(ReceiveChains.arenaBytes(queueSize));
    this.#words = arena.words(this.offset, wordsOf(queueSize));
    this.#mask = queueSize - 1;
    this.#rooms = exchange.SHELF_WORDS + queueSize;
    this.#words[exchange.SHELF_MASK] = this.#mask;
    this.#words[exchange.SHELF_BYTES_MIN] = HEADER_BYTES;
  }

  static arenaBytes(queueSize: number): number {
    return wordsOf(queueSize) * WORD_BYTES;
  }

  /** Takes a chain native code did not put here. One too short for a header goes back at once
   *  (NT-012). */
  post(chain: number, roomBytes: number): void {
    if (roomBytes < HEADER_BYTES) {
      this.#commands.complete(chain, 0);
      return;
    }
    const at = this.#place(this.#count());
    this.#words[exchange.SHELF_WORDS + at] = chain;
    this.#words[this.#rooms + at] = roomBytes;
    this.#words[exchange.SHELF_PUT] = (this.#words[exchange.SHELF_PUT] as number) + 1;
  }

  /** How many chains so many bytes take; 0: there is no room. */
  chainsFor(bytes: number): number {
    const last = Math.min(this.#count(), this.merge ? CHAINS_PER_FRAME_MAX : 1);
    let room = 0;
    for (let i = 0; i < last; i++) {
      room += this.#words[this.#rooms + this.#place(i)] as number;
      if (room >= bytes) {
        return i + 1;
      }
    }
    return 0;
  }

  /** The next chain, the caller's now. */
  take(): number {
    const chain = this.#words[exchange.SHELF_WORDS + this.#place(0)] as number;
    this.#words[exchange.SHELF_TAKEN] = (this.#words[exchange.SHELF_TAKEN] as number) + 1;
    return chain;
  }

  /** The ring stops: chains go back into it untouched, the last one first. */
  takeBack(): void {
    for (let i = this.#count() - 1; i >= 0; i--) {
      this.#commands.unpop(this.#words[exchange.SHELF_WORDS + this.#place(i)] as number);
    }
    this.#words[exchange.SHELF_TAKEN] = this.#words[exchange.SHELF_PUT] as number;
  }

  /** Both sides count on beyond 32 bits. */
  #count(): number {
    const put = this.#words[exchange.SHELF_PUT] as number;
    return (put - (this.#words[exchange.SHELF_TAKEN] as number)) >>> 0;
  }

  /** Of the chain behind `index` others. */
  #place(index: number): number {
    return ((this.#words[exchange.SHELF_TAKEN] as number) + index) & this.#mask;
  }
}

function wordsOf(queueSize: number): number {
  return exchange.SHELF_WORDS + 2 * queueSize;
}
