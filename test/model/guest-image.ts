// A guest's memory as a model sees it: a copy of the file's bytes, and guest addresses looked up the
// slow way, byte by byte.

export interface ImageRegion {
  readonly guestAddress: number;
  readonly bytes: number;
  readonly fileOffset: number;
}

export class GuestImage {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #regions: readonly ImageRegion[];

  constructor(bytes: Uint8Array, regions: readonly ImageRegion[]) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#regions = regions;
  }

  /** Where each byte of the range lies in the file; undefined when one of them is nowhere. */
  places(guestAddress: bigint, count: number): number[] | undefined {
    const places: number[] = [];
    for (let i = 0; i < count; i++) {
      const at = guestAddress + BigInt(i);
      const region = this.#regions.find(
        (one) => at >= one.guestAddress && at < one.guestAddress + one.bytes,
      );
      if (region === undefined) {
        return undefined;
      }
      places.push(Number(at) - region.guestAddress + region.fileOffset);
    }
    return places;
  }

  u16(place: number): number {
    return this.#view.getUint16(place, true);
  }

  u32(place: number): number {
    return this.#view.getUint32(place, true);
  }

  u64(place: number): bigint {
    return this.#view.getBigUint64(place, true);
  }

  setU16(place: number, value: number): void {
    this.#view.setUint16(place, value, true);
  }

  setU32(place: number, value: number): void {
    this.#view.setUint32(place, value, true);
  }
}
