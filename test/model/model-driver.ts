// The driver in a scene: keeps the rules as long as it is asked to, and writes anything when told.

import type { BufferSpec, RawSpec, Step } from './scripts.js';

export interface DriverPlaces {
  readonly size: number;
  readonly eventIdx: boolean;
  readonly descriptors: number;
  readonly avail: number;
  readonly used: number;
  /** Where indirect tables are written, a page of them. */
  readonly tables: number;
  guestAddress(offset: number): bigint;
  /** An address for a buffer: in memory, over a joint, in a hole, outside. */
  anyAddress(choice: number): bigint;
  /** One that is in memory together with so many bytes. */
  goodAddress(choice: number, bytes: number): bigint;
}

export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

export type OfferStep = Extract<Step, { do: 'offer' }>;
export type RawStep = Extract<Step, { do: 'raw' }>;
export type RawTableStep = Extract<Step, { do: 'rawTable' }>;

const TABLE_BYTES = 256;
const TABLES = 8;

export abstract class ModelDriver {
  protected readonly places: DriverPlaces;
  protected readonly view: DataView;
  #tables = 0;

  constructor(places: DriverPlaces, bytes: Uint8Array) {
    this.places = places;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  abstract offer(step: OfferStep): void;
  abstract reap(): void;
  abstract raw(step: RawStep, popped: number): void;
  abstract rawTable(step: RawTableStep, popped: number): void;
  abstract jump(by: number): void;
  abstract event(place: number, flags: number, nextUsed: number): void;
  abstract pokeUsed(value: number): void;

  /** Room for a table; after some, one that may still be in use. */
  protected nextTable(): number {
    return this.places.tables + TABLE_BYTES * (this.#tables++ % TABLES);
  }

  protected write(
    at: number,
    address: bigint,
    length: number,
    [third, fourth]: readonly [number, number],
  ): void {
    this.view.setBigUint64(at, address, true);
    this.view.setUint32(at + 8, length, true);
    this.view.setUint16(at + 12, third, true);
    this.view.setUint16(at + 14, fourth, true);
  }

  protected bufferAddress({ place, bytes }: BufferSpec): bigint {
    return this.places.goodAddress(place, bytes);
  }

  /** A number that is mostly in range. */
  protected index(number: number): number {
    return number % 7 === 0 ? number : number % this.places.size;
  }

  protected rawAddress({ address }: RawSpec): bigint {
    return this.places.anyAddress(address);
  }
}
