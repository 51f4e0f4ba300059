// How many frames to groups a port may send: each costs as much as there are ports, and two guests
// that answer each other's would keep the switch busy for ever (NT-034).

/** A tenth of a second's worth may come at once. */
const BURST_FRACTION = 10;

export class StormLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  #left: number;
  #filledS = 0;

  /** 0: no limit. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#burst = Math.max(1, perSecond / BURST_FRACTION);
    this.#left = this.#burst;
  }

  /** Whether one more may pass now. */
  take(nowS: number): boolean {
    if (this.#perSecond === 0) {
      return true;
    }
    const earned = (nowS - this.#filledS) * this.#perSecond;
    this.#left = Math.min(this.#burst, this.#left + Math.max(0, earned));
    this.#filledS = nowS;
    if (this.#left < 1) {
      return false;
    }
    this.#left--;
    return true;
  }
}
