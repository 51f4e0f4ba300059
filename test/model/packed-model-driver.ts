import {
  type DriverPlaces,
  INDIRECT,
  ModelDriver,
  NEXT,
  type OfferStep,
  type RawStep,
  type RawTableStep,
  WRITE,
} from './model-driver.js';

const AVAIL = 0x80;
const USED = 0x8000;
const WRAP = 0x8000;

type Fields = readonly [address: bigint, length: number, id: number, flags: number];

export class PackedModelDriver extends ModelDriver {
  /** Steps, as in the model. */
  #avail: number;
  #used: number;
  readonly #ids: number[];
  readonly #entries = new Map<number, number>();
  /** Entries of chains that broke a rule; they never come back. */
  #lost = 0;

  constructor(places: DriverPlaces, bytes: Uint8Array, base: number) {
    super(places, bytes);
    this.#avail = this.#used = (base & ~WRAP) + (base & WRAP ? 0 : places.size);
    this.#ids = Array.from({ length: places.size }, (_, i) => i);
    for (let i = 0; i < places.size; i++) {
      // As a driver finds it that comes here after some rounds: everything used.
      const round = this.#wrap(this.#avail) === i < this.#avail % places.size;
      this.view.setUint16(this.#at(i) + 14, round ? AVAIL | USED : 0, true);
    }
  }

  override offer({ buffers, indirect }: OfferStep): void {
    const count = indirect ? 1 : buffers.length;
    const id = this.#ids[0];
    if (id === undefined || count > this.#free) {
      return;
    }
    this.#ids.shift();
    this.#entries.set(id, count);
    if (!indirect) {
      const last = buffers.length - 1;
      this.#put(
        buffers.map((buffer, i): Fields => {
          const flags = (buffer.writable ? WRITE : 0) | (i < last ? NEXT : 0);
          return [this.bufferAddress(buffer), buffer.bytes, id, flags];
        }),
      );
      return;
    }
    const table = this.nextTable();
    buffers.forEach((buffer, i) => {
      const flags = buffer.writable ? WRITE : 0;
      this.write(table + 16 * i, this.bufferAddress(buffer), buffer.bytes, [0, flags]);
    });
    this.#put([[this.places.guestAddress(table), 16 * buffers.length, id, INDIRECT]]);
  }

  override reap(): void {
    for (let left = this.places.size; left > 0; left--) {
      const at = this.#at(this.#used);
      const flags = this.view.getUint16(at + 14, true);
      const wrap = this.#wrap(this.#used);
      const id = this.view.getUint16(at + 12, true);
      const count = this.#entries.get(id);
      const isUsed = ((flags & AVAIL) !== 0) === wrap && ((flags & USED) !== 0) === wrap;
      if (!isUsed || count === undefined) {
        break;
      }
      this.#entries.delete(id);
      this.#ids.push(id);
      this.#used += count;
    }
    this.view.setUint16(this.places.avail, this.#word(this.#used), true);
    this.view.setUint16(this.places.avail + 2, this.places.eventIdx ? 2 : 0, true);
  }

  override raw({ descriptors }: RawStep, popped: number): void {
    this.#putRaw(
      descriptors.map(
        (raw): Fields => [this.rawAddress(raw), raw.length, this.index(raw.next), raw.flags],
      ),
      popped,
    );
  }

  override rawTable({ entries, named }: RawTableStep, popped: number): void {
    const table = this.nextTable();
    entries.forEach((raw, i) => {
      this.write(table + 16 * i, this.rawAddress(raw), raw.length, [raw.next, raw.flags]);
    });
    const length = named % 5 === 0 ? named : 16 * entries.length;
    const flags = INDIRECT | (named % 11 === 0 ? NEXT : 0);
    this.#putRaw([[this.places.guestAddress(table), length, this.index(named), flags]], popped);
  }

  /** A packed ring has no index that could jump. */
  override jump(): void {}

  override event(place: number, flags: number, nextUsed: number): void {
    const near = place <= 20 ? nextUsed - 10 + place : place;
    this.view.setUint16(this.places.avail, near & 0xffff, true);
    this.view.setUint16(this.places.avail + 2, flags, true);
  }

  override pokeUsed(value: number): void {
    this.view.setUint16(this.places.used + (value % 2) * 2, value, true);
  }

  get #free(): number {
    return this.places.size - (this.#avail - this.#used) - this.#lost;
  }

  /** Anything, but not over entries the device may have looked at and not popped: what it makes of
   *  those depends on when it looked. `popped`: where the device is, index and wrap counter. */
  #putRaw(chain: readonly Fields[], popped: number): void {
    const { size } = this.places;
    const device = (popped & ~WRAP) + (popped & WRAP ? 0 : size);
    const waiting = (this.#avail - device + 4 * size) % (2 * size);
    this.#put(chain.slice(0, Math.max(0, size - waiting)));
    this.#lost += chain.length;
  }

  /** The first flags come last, as the device may look at any time. */
  #put(chain: readonly Fields[]): void {
    const from = this.#avail;
    this.#avail += chain.length;
    for (let i = chain.length - 1; i >= 0; i--) {
      const [address, length, id, flags] = chain[i] as Fields;
      const both = this.#wrap(from + i) ? AVAIL : USED;
      const kept = flags & ~(AVAIL | USED);
      this.write(this.#at(from + i), address, length, [id, kept | both]);
    }
  }

  #wrap(steps: number): boolean {
    return Math.floor(steps / this.places.size) % 2 === 0;
  }

  #word(steps: number): number {
    return (steps % this.places.size) | (this.#wrap(steps) ? WRAP : 0);
  }

  #at(steps: number): number {
    return this.places.descriptors + 16 * (steps % this.places.size);
  }
}
