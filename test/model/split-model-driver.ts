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

export class SplitModelDriver extends ModelDriver {
  #free: number[];
  readonly #chains = new Map<number, number[]>();
  #avail: number;
  #used: number;

  constructor(places: DriverPlaces, bytes: Uint8Array, base: number) {
    super(places, bytes);
    this.#free = Array.from({ length: places.size }, (_, i) => i);
    this.#avail = this.#used = base;
    this.view.setUint16(places.avail + 2, base, true);
    this.view.setUint16(places.used + 2, base, true);
  }

  override offer({ buffers, indirect }: OfferStep): void {
    const count = indirect ? 1 : buffers.length;
    if (count > this.#free.length) {
      return;
    }
    const indices = this.#free.splice(0, count);
    const head = indices[0] as number;
    const table = indirect ? this.nextTable() : 0;
    buffers.forEach((buffer, i) => {
      const at = indirect ? table + 16 * i : this.#descriptor(indices[i] as number);
      const last = i === buffers.length - 1;
      const next = last ? 0 : indirect ? i + 1 : (indices[i + 1] as number);
      const flags = (buffer.writable ? WRITE : 0) | (last ? 0 : NEXT);
      this.write(at, this.bufferAddress(buffer), buffer.bytes, [flags, next]);
    });
    if (indirect) {
      const address = this.places.guestAddress(table);
      this.write(this.#descriptor(head), address, 16 * buffers.length, [INDIRECT, 0]);
    }
    this.#chains.set(head, indices);
    this.#makeAvailable(head);
  }

  override reap(): void {
    const shown = this.view.getUint16(this.places.used + 2, true);
    for (let left = this.places.size; this.#used !== shown && left > 0; left--) {
      const slot = this.places.used + 4 + 8 * (this.#used % this.places.size);
      const head = this.view.getUint32(slot, true);
      this.#free.push(...(this.#chains.get(head) ?? []));
      this.#chains.delete(head);
      this.#used = (this.#used + 1) & 0xffff;
    }
    this.view.setUint16(this.#usedEventAt, this.#used, true);
  }

  override raw({ descriptors, head }: RawStep): void {
    for (const raw of descriptors.slice(0, 4)) {
      const at = this.#descriptor(raw.index % this.places.size);
      this.write(at, this.rawAddress(raw), raw.length, [raw.flags, this.index(raw.next)]);
    }
    this.#makeAvailable(this.index(head));
  }

  override rawTable({ entries, named }: RawTableStep): void {
    const table = this.nextTable();
    entries.forEach((raw, i) => {
      const next = raw.next % 7 === 0 ? raw.next : raw.next % entries.length;
      this.write(table + 16 * i, this.rawAddress(raw), raw.length, [raw.flags, next]);
    });
    const index = named % this.places.size;
    const length = named % 5 === 0 ? named : 16 * entries.length;
    const flags = INDIRECT | (named % 11 === 0 ? NEXT : 0);
    this.write(this.#descriptor(index), this.places.guestAddress(table), length, [flags, 0]);
    this.#makeAvailable(index);
  }

  override jump(by: number): void {
    this.#avail = (this.#avail + by) & 0xffff;
    this.view.setUint16(this.places.avail + 2, this.#avail, true);
  }

  override event(place: number, flags: number, nextUsed: number): void {
    const near = place <= 20 ? nextUsed - 10 + place : place;
    this.view.setUint16(this.places.avail, flags, true);
    this.view.setUint16(this.#usedEventAt, near & 0xffff, true);
  }

  override pokeUsed(value: number): void {
    this.view.setUint16(this.places.used + (value % 2) * 2, value, true);
  }

  get #usedEventAt(): number {
    return this.places.avail + 4 + 2 * this.places.size;
  }

  #descriptor(index: number): number {
    return this.places.descriptors + 16 * index;
  }

  #makeAvailable(head: number): void {
    const { avail, size } = this.places;
    this.view.setUint16(avail + 4 + 2 * (this.#avail % size), head, true);
    this.#avail = (this.#avail + 1) & 0xffff;
    this.view.setUint16(avail + 2, this.#avail, true);
  }
}
