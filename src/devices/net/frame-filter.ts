// Which frames a driver wants, as a table for native code (native/core/frame-filter.h), which is
// the one place that judges a frame.

import { native } from '../../native/index.js';
import type { Arena } from './arena.js';

export const FILTER_PROMISCUOUS = 1;
export const FILTER_ALL_MULTICAST = 2;
export const FILTER_ALL_UNICAST = 4;
export const FILTER_NO_MULTICAST = 8;
export const FILTER_NO_UNICAST = 16;
export const FILTER_NO_BROADCAST = 32;
export const FILTER_VLANS = 64;

/** Addresses of either kind; a driver with more gets all of that kind. */
export const FILTER_TABLE_ADDRESSES_MAX = 64;
/** Both kinds, and the card's own. */
export const FILTER_ADDRESSES_MAX = 2 * FILTER_TABLE_ADDRESSES_MAX + 1;
/** IEEE 802.1Q: an id has 12 bits. */
export const VLANS = 4096;

/** The table in words; an address takes two of them, lowest byte first. */
export const FILTER_FLAGS = 0;
export const FILTER_ADDRESS_COUNT = 1;
export const FILTER_ADDRESSES = 2;
export const FILTER_VLAN_BITS = FILTER_ADDRESSES + 2 * FILTER_ADDRESSES_MAX;
export const FILTER_WORDS = FILTER_VLAN_BITS + VLANS / 32;

/** A worker's own table: what the driver says counts from the next order on. */
export class FrameFilter {
  readonly #words: Uint32Array;
  readonly #offset: number;
  #passesAll = true;

  constructor(arena: Arena) {
    this.#offset = arena.allocate(FILTER_WORDS * 4);
    this.#words = arena.words(this.#offset, FILTER_WORDS);
  }

  static readonly arenaBytes = FILTER_WORDS * 4;

  /** Undefined: every frame passes. */
  update(table: Uint32Array | undefined): void {
    this.#passesAll = table === undefined || ((table[FILTER_FLAGS] ?? 0) & FILTER_PROMISCUOUS) > 0;
    if (table !== undefined) {
      this.#words.set(table);
    }
  }

  /** Where in the arena the table is; undefined: every frame passes. */
  get offset(): number | undefined {
    return this.#passesAll ? undefined : this.#offset;
  }

  passes(frame: Uint8Array): boolean {
    return this.#passesAll || native.framePasses(this.#words, frame, 0, frame.byteLength);
  }
}
