// The device's side of a split virtqueue (VIRTIO 1.3 §2.7).

import { INDIRECT, type ModelChain, ModelFault, NEXT, RingModel } from './ring-model.js';

const NO_INTERRUPT = 1;
const NO_NOTIFY = 1;

const u16 = (value: number) => value & 0xffff;

export class SplitRingModel extends RingModel {
  nextAvail = 0;
  nextUsed = 0;
  #askedAt = 0;

  start(nextAvail: number, nextUsed: number): void {
    this.nextAvail = nextAvail;
    this.nextUsed = this.#askedAt = nextUsed;
    this.enableNotification();
  }

  override availIdx(): number {
    return this.image.u16(this.places.avail + 2);
  }

  override usedIdx(): number {
    return this.image.u16(this.places.used + 2);
  }

  override enableNotification(): boolean {
    const { used, size, eventIdx } = this.places;
    if (eventIdx) {
      this.image.setU16(used + 4 + 8 * size, this.nextAvail);
    } else {
      this.image.setU16(used, 0);
    }
    this.kicksWanted = true;
    return this.availIdx() !== this.nextAvail;
  }

  override disableNotification(): void {
    if (!this.places.eventIdx && this.kicksWanted) {
      this.image.setU16(this.places.used, NO_NOTIFY);
      this.kicksWanted = false;
    }
  }

  override needsNotification(): boolean {
    const { avail, size, eventIdx } = this.places;
    if (!eventIdx) {
      return (this.image.u16(avail) & NO_INTERRUPT) === 0;
    }
    const usedEvent = this.image.u16(avail + 4 + 2 * size);
    let crossed = !this.everAsked;
    // Each index that was shown since the last question; the element at used_event is one of them?
    for (let index = this.#askedAt; index !== this.nextUsed; index = u16(index + 1)) {
      crossed ||= index === usedEvent;
    }
    this.everAsked = true;
    this.#askedAt = this.nextUsed;
    return crossed;
  }

  protected override take(): ModelChain | undefined {
    const { avail, size } = this.places;
    const ahead = u16(this.availIdx() - this.nextAvail);
    if (ahead > size) {
      throw new ModelFault('INVALID_AVAIL_RING_INDEX');
    }
    if (ahead === 0) {
      return undefined;
    }
    const chain = this.#walk(this.image.u16(avail + 4 + 2 * (this.nextAvail % size)));
    this.nextAvail = u16(this.nextAvail + 1);
    return chain;
  }

  #walk(head: number): ModelChain {
    const { descriptors, size } = this.places;
    if (head >= size) {
      throw new ModelFault('INVALID_DESCRIPTOR_INDEX');
    }
    const chain: ModelChain = { head, readable: [], writable: [], taken: [] };
    for (let index = head; ; ) {
      if (chain.taken.includes(index) || this.#isTaken(index)) {
        throw new ModelFault('INVALID_CHAIN');
      }
      chain.taken.push(index);
      const at = descriptors + 16 * index;
      const address = this.image.u64(at);
      const length = this.image.u32(at + 8);
      const flags = this.image.u16(at + 12);
      const next = this.image.u16(at + 14);
      if (flags & INDIRECT) {
        if (flags & NEXT) {
          throw new ModelFault('INVALID_INDIRECT_DESCRIPTOR');
        }
        this.#walkTable(chain, this.table(address, length));
        return chain;
      }
      this.append(chain, { address, length, flags });
      if (!(flags & NEXT)) {
        return chain;
      }
      if (next >= size) {
        throw new ModelFault('INVALID_DESCRIPTOR_INDEX');
      }
      index = next;
    }
  }

  #walkTable(chain: ModelChain, table: DataView): void {
    const entries = table.byteLength / 16;
    let index = 0;
    for (let steps = 0; steps < entries; steps++) {
      const at = 16 * index;
      const flags = table.getUint16(at + 12, true);
      if (flags & INDIRECT) {
        throw new ModelFault('INVALID_INDIRECT_DESCRIPTOR');
      }
      const address = table.getBigUint64(at, true);
      this.append(chain, { address, length: table.getUint32(at + 8, true), flags });
      if (!(flags & NEXT)) {
        return;
      }
      index = table.getUint16(at + 14, true);
      if (index >= entries) {
        throw new ModelFault('INVALID_DESCRIPTOR_INDEX');
      }
    }
    throw new ModelFault('INVALID_CHAIN');
  }

  #isTaken(index: number): boolean {
    return [...this.inFlight.values()].some(({ taken }) => taken.includes(index));
  }

  protected override giveBack(): void {
    this.nextAvail = u16(this.nextAvail - 1);
  }

  protected override writeUsed({ head }: ModelChain, writtenBytes: number): void {
    const at = this.places.used + 4 + 8 * (this.nextUsed % this.places.size);
    this.image.setU32(at, head);
    this.image.setU32(at + 4, writtenBytes);
    this.nextUsed = u16(this.nextUsed + 1);
  }

  protected override showUsed(): void {
    this.image.setU16(this.places.used + 2, this.nextUsed);
  }
}
