// RST for packets that belong to no connection: addresses as they came, turned round. A bounded
// ring, because a guest may send such packets and never offer a buffer for the answers (VS-030).

const WORDS = 7;
/** More than a guest's rings hold at a time; beyond it a packet goes unanswered. */
export const REFUSALS_MAX = 4096;

export class Refusals {
  readonly #words = new Uint32Array(WORDS * REFUSALS_MAX);
  #head = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** For the packet's own src and dst, type included. */
  push(
    srcCid: number,
    srcCidHigh: number,
    dstCid: number,
    dstCidHigh: number,
    srcPort: number,
    dstPort: number,
    type: number,
  ): void {
    if (this.#count === REFUSALS_MAX) {
      return;
    }
    const at = ((this.#head + this.#count++) % REFUSALS_MAX) * WORDS;
    this.#words.set([srcCid, srcCidHigh, dstCid, dstCidHigh, srcPort, dstPort, type], at);
  }

  /** The next one's words, valid until the next push. */
  shift(): Uint32Array | undefined {
    if (this.#count === 0) {
      return undefined;
    }
    const at = this.#head * WORDS;
    this.#head = (this.#head + 1) % REFUSALS_MAX;
    this.#count--;
    return this.#words.subarray(at, at + WORDS);
  }

  clear(): void {
    this.#head = this.#count = 0;
  }
}
