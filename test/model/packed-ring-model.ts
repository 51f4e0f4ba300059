// The device's side of a packed virtqueue (VIRTIO 1.3 §2.8).

import { INDIRECT, type ModelChain, ModelFault, NEXT, RingModel, WRITE } from './ring-model.js';

const AVAIL = 0x80;
const USED = 0x8000;
const WRAP = 0x8000;

const EVENT_ENABLE = 0;
const EVENT_DISABLE = 1;
const EVENT_DESC = 2;

export class PackedRingModel extends RingModel {
  /** Steps since index 0 of a round with wrap counter 1; even rounds have it, odd ones do not. */
  #avail = 0;
  #used = 0;
  #shown = 0;
  #askedAt = 0;
  /** First flags of the batch, written last. */
  #firstFlags: { readonly at: number; readonly flags: number } | undefined;

  start(nextAvail: number, nextUsed: number): void {
    const round = 2 * this.places.size;
    this.#used = this.#shown = this.#askedAt = this.#stepsOf(nextUsed);
    this.#avail = this.#stepsOf(nextAvail);
    while (this.#avail < this.#used) {
      this.#avail += round;
    }
    this.enableNotification();
  }

  override get nextAvail(): number {
    return this.#word(this.#avail);
  }

  override get nextUsed(): number {
    return this.#word(this.#used);
  }

  override availIdx(): number {
    let steps = this.#avail;
    while (steps < this.#limit && this.#isAvailable(steps)) {
      steps++;
    }
    return this.#word(steps);
  }

  override usedIdx(): number {
    return this.#word(this.#shown);
  }

  override enableNotification(): boolean {
    const { used, eventIdx } = this.places;
    if (eventIdx) {
      this.image.setU16(used, this.nextAvail);
    }
    this.image.setU16(used + 2, eventIdx ? EVENT_DESC : EVENT_ENABLE);
    this.kicksWanted = true;
    const length = this.#chainLength();
    return length === 'endless' || length !== undefined;
  }

  override disableNotification(): void {
    if (this.kicksWanted) {
      this.image.setU16(this.places.used + 2, EVENT_DISABLE);
      this.kicksWanted = false;
    }
  }

  override needsNotification(): boolean {
    const { avail, size, eventIdx } = this.places;
    const [from, to] = [this.#askedAt, this.#shown];
    this.#askedAt = this.#shown;
    const first = !this.everAsked;
    this.everAsked = true;
    const flags = this.image.u16(avail + 2) & 3;
    if (flags === EVENT_DISABLE) {
      return false;
    }
    const event = this.image.u16(avail);
    if (first || !eventIdx || flags !== EVENT_DESC || (event & ~WRAP) >= size) {
      return true;
    }
    // A word names one place in two rounds: the nearest that was passed, or one still ahead. More
    // than a round was passed only by a driver that took what it saw and asked again since.
    for (let steps = Math.max(from, to - 2 * size + 1); steps < to; steps++) {
      if (this.#word(steps) === event) {
        return true;
      }
    }
    return false;
  }

  /** The driver may have filled the entries up to here. */
  get #limit(): number {
    return this.#used + this.places.size;
  }

  /** Entries of the chain at the front; undefined: its end is not there yet. */
  #chainLength(): number | 'endless' | undefined {
    for (let steps = this.#avail; steps < this.#limit; steps++) {
      if (!this.#isAvailable(steps)) {
        return undefined;
      }
      if (!(this.#flags(steps) & NEXT)) {
        return steps - this.#avail + 1;
      }
    }
    return this.#avail < this.#limit ? 'endless' : undefined;
  }

  protected override take(): ModelChain | undefined {
    const length = this.#chainLength();
    if (length === undefined) {
      return undefined;
    }
    if (length === 'endless') {
      throw new ModelFault('INVALID_CHAIN');
    }
    const chain = { head: 0, readable: [], writable: [], taken: [] as number[] };
    for (let i = 0; i < length; i++) {
      this.#walk(chain, this.#avail + i);
    }
    const head = this.image.u16(this.#at(this.#avail + length - 1) + 12);
    if (head >= this.places.size) {
      throw new ModelFault('INVALID_DESCRIPTOR_INDEX');
    }
    if (this.inFlight.has(head)) {
      throw new ModelFault('INVALID_CHAIN');
    }
    this.#avail += length;
    return { ...chain, head };
  }

  #walk(chain: ModelChain, steps: number): void {
    const at = this.#at(steps);
    chain.taken.push(steps % this.places.size);
    const address = this.image.u64(at);
    const length = this.image.u32(at + 8);
    const flags = this.image.u16(at + 14);
    if (!(flags & INDIRECT)) {
      this.append(chain, { address, length, flags });
      return;
    }
    if (chain.taken.length > 1 || flags & NEXT) {
      throw new ModelFault('INVALID_INDIRECT_DESCRIPTOR');
    }
    const table = this.table(address, length);
    for (let entry = 0; entry < table.byteLength; entry += 16) {
      this.append(chain, {
        address: table.getBigUint64(entry, true),
        length: table.getUint32(entry + 8, true),
        flags: table.getUint16(entry + 14, true) & WRITE,
      });
    }
  }

  protected override giveBack({ taken }: ModelChain): void {
    this.#avail -= taken.length;
  }

  protected override writeUsed({ head, taken }: ModelChain, writtenBytes: number): void {
    const at = this.#at(this.#used);
    const both = this.#wrap(this.#used) ? AVAIL | USED : 0;
    const flags = both | (writtenBytes > 0 ? WRITE : 0);
    this.image.setU32(at + 8, writtenBytes);
    this.image.setU16(at + 12, head);
    if (this.#firstFlags === undefined) {
      this.#firstFlags = { at: at + 14, flags };
    } else {
      this.image.setU16(at + 14, flags);
    }
    this.#used += taken.length;
  }

  protected override showUsed(): void {
    if (this.#firstFlags !== undefined) {
      this.image.setU16(this.#firstFlags.at, this.#firstFlags.flags);
      this.#firstFlags = undefined;
    }
    this.#shown = this.#used;
  }

  #stepsOf(word: number): number {
    return (word & ~WRAP) + (word & WRAP ? 0 : this.places.size);
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

  #flags(steps: number): number {
    return this.image.u16(this.#at(steps) + 14);
  }

  #isAvailable(steps: number): boolean {
    const flags = this.#flags(steps);
    const wrap = this.#wrap(steps);
    return ((flags & AVAIL) !== 0) === wrap && ((flags & USED) !== 0) !== wrap;
  }
}
