// The batch face of a virtqueue: requests popped in one turn, each with a private copy of the first
// bytes of its readable part. Nothing here can change under the reader.

import { exchange } from '../../native/index.js';

const { RECORD_WORDS, REQUEST_CHAIN, REQUEST_HEADER, REQUEST_READABLE_BYTES } = exchange;
const { REQUEST_WRITABLE_BYTES } = exchange;

export class Batch {
  /** Requests in this batch. */
  count = 0;
  readonly #words: Uint32Array;

  constructor(tables: Pick<exchange.Exchange, 'requests'>) {
    this.#words = tables.requests;
  }

  /** Names the descriptor chain in commands until it is completed. */
  chain(index: number): number {
    return this.#words[index * RECORD_WORDS + REQUEST_CHAIN] as number;
  }

  /** Device-readable bytes of the chain. */
  readableBytes(index: number): number {
    return this.#words[index * RECORD_WORDS + REQUEST_READABLE_BYTES] as number;
  }

  /** Device-writable bytes of the chain. */
  writableBytes(index: number): number {
    return this.#words[index * RECORD_WORDS + REQUEST_WRITABLE_BYTES] as number;
  }

  /** Little-endian 32-bit word of the header; meaningless beyond `readableBytes`. */
  headerWord(index: number, word: number): number {
    return this.#words[index * RECORD_WORDS + REQUEST_HEADER + word] as number;
  }
}

/** The virtqueue a chain belongs to. */
export function queueOfChain(chain: number): number {
  return chain >>> 16;
}
