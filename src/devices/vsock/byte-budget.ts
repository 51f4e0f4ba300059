// How much all connections together may make us hold of a kind.

export class ByteBudget {
  readonly #max: number;
  #held = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get held(): number {
    return this.#held;
  }

  /** False when that would be too much; nothing is taken then. */
  take(bytes: number): boolean {
    if (bytes > this.#max - this.#held) {
      return false;
    }
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}
