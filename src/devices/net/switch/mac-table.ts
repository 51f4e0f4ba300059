// Which address of which VLAN is behind which port. Open addressing in typed arrays: nothing is
// allocated for a frame.

/** Of one port. Beyond it the port's addresses are flooded instead of learned: a guest that makes
 *  addresses up (MAC flooding) fills its own share and pushes nobody out. */
export const ADDRESSES_PER_PORT_MAX = 1024;

/** Slots for each address there may be: probes stay short. */
const SLOTS_PER_ADDRESS = 2;
/** A port that is at its limit looks for addresses that have aged so often at most. */
const SWEEP_INTERVAL_S = 1;

const EMPTY = -1;

export class MacTable {
  readonly #ageS: number;
  readonly #mask: number;
  readonly #low: Uint32Array;
  /** VLAN << 16 and the last two bytes. */
  readonly #high: Uint32Array;
  readonly #port: Int16Array;
  readonly #seenS: Float64Array;
  readonly #perPort: Uint32Array;
  #sweptS = 0;
  #moves = 0;

  /** `ageS`: addresses not heard of for so long are forgotten. */
  constructor(ports: number, ageS: number) {
    this.#ageS = ageS;
    const wanted = ports * ADDRESSES_PER_PORT_MAX * SLOTS_PER_ADDRESS;
    const slots = 2 ** Math.ceil(Math.log2(wanted));
    this.#mask = slots - 1;
    this.#low = new Uint32Array(slots);
    this.#high = new Uint32Array(slots);
    this.#port = new Int16Array(slots).fill(EMPTY);
    this.#seenS = new Float64Array(slots);
    this.#perPort = new Uint32Array(ports);
  }

  /** The port, or -1: unknown. */
  lookup(low: number, high: number, vlan: number, nowS: number): number {
    const slot = this.#find(low, (vlan << 16) | high);
    const port = this.#port[slot] as number;
    return port !== EMPTY && nowS - (this.#seenS[slot] as number) <= this.#ageS ? port : EMPTY;
  }

  /** When the station was last heard of; for an address that lookup has found. */
  heardS(low: number, high: number, vlan: number): number {
    return this.#seenS[this.#find(low, (vlan << 16) | high)] as number;
  }

  /** Counts addresses that went from one port to another: what was decided by the table before
   *  holds no longer. */
  get moves(): number {
    return this.#moves;
  }

  /** The station has sent from there. False: the port has too many. */
  learn(low: number, high: number, vlan: number, port: number, nowS: number): boolean {
    const key = (vlan << 16) | high;
    let slot = this.#find(low, key);
    const before = this.#port[slot] as number;
    if (before === port) {
      this.#seenS[slot] = nowS;
      return true;
    }
    if ((this.#perPort[port] as number) >= ADDRESSES_PER_PORT_MAX) {
      if (!this.#sweep(nowS) || (this.#perPort[port] as number) >= ADDRESSES_PER_PORT_MAX) {
        return false;
      }
      // Entries have moved.
      slot = this.#find(low, key);
    }
    const former = this.#port[slot] as number;
    if (former !== EMPTY) {
      this.#count(former, -1);
      this.#moves++;
    }
    this.#put(slot, low, key, port, nowS);
    return true;
  }

  /** Forgets what is behind a port: its guest has left. */
  forget(port: number): void {
    this.#keep((slot) => this.#port[slot] !== port);
  }

  /** Addresses learned from a port, aged ones that nobody has looked for included. */
  count(port: number): number {
    return this.#perPort[port] as number;
  }

  #find(low: number, key: number): number {
    let slot = (Math.imul(low ^ Math.imul(key, 0x9e3779b1), 0x85ebca6b) >>> 7) & this.#mask;
    while (
      this.#port[slot] !== EMPTY &&
      (this.#low[slot] !== low || this.#high[slot] !== key >>> 0)
    ) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  #put(slot: number, low: number, key: number, port: number, seenS: number): void {
    this.#low[slot] = low;
    this.#high[slot] = key;
    this.#port[slot] = port;
    this.#seenS[slot] = seenS;
    this.#count(port, 1);
  }

  #count(port: number, change: number): void {
    this.#perPort[port] = (this.#perPort[port] as number) + change;
  }

  /** False: it has just been done. */
  #sweep(nowS: number): boolean {
    if (nowS - this.#sweptS < SWEEP_INTERVAL_S) {
      return false;
    }
    this.#sweptS = nowS;
    this.#keep((slot) => nowS - (this.#seenS[slot] as number) <= this.#ageS);
    return true;
  }

  /** Holes would cut probes short, so what stays is put in anew. Seldom: it allocates. */
  #keep(stays: (slot: number) => boolean): void {
    const kept: [low: number, key: number, port: number, seenS: number][] = [];
    for (let slot = 0; slot <= this.#mask; slot++) {
      const port = this.#port[slot] as number;
      if (port !== EMPTY && stays(slot)) {
        const [low, high] = [this.#low[slot] as number, this.#high[slot] as number];
        kept.push([low, high, port, this.#seenS[slot] as number]);
      }
    }
    this.#port.fill(EMPTY);
    this.#perPort.fill(0);
    for (const [low, key, port, seenS] of kept) {
      this.#put(this.#find(low, key), low, key, port, seenS);
    }
  }
}
