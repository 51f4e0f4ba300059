// Receive buffers the guest has offered, the first to come first: numbers in two tables, so that a
// packet costs no object and native code can take several at a time.

/** Ring entries at most, of which each may be a buffer (see VsockDevice.maxQueueSize). */
export const BUFFERS_MAX = 1024;
/** Of the tables: they are moved to the front once for each ring full. */
const SLACK = 2;

export class ReceiveBuffers {
  /** From `head` on, as many as `count`. */
  readonly chains = new Uint32Array(SLACK * BUFFERS_MAX);
  readonly #bytes = new Uint32Array(SLACK * BUFFERS_MAX);
  #head = 0;
  #count = 0;

  get head(): number {
    return this.#head;
  }

  get count(): number {
    return this.#count;
  }

  push(chain: number, bytes: number): void {
    if (this.#head + this.#count === this.chains.length) {
      this.chains.copyWithin(0, this.#head);
      this.#bytes.copyWithin(0, this.#head);
      this.#head = 0;
    }
    const at = this.#head + this.#count++;
    this.chains[at] = chain;
    this.#bytes[at] = bytes;
  }

  /** The chain of the i-th that waits. */
  chain(i: number): number {
    return this.chains[this.#head + i] as number;
  }

  bytes(i: number): number {
    return this.#bytes[this.#head + i] as number;
  }

  /** Takes the first ones away. */
  shift(count: number): void {
    this.#head += count;
    this.#count -= count;
  }
}
