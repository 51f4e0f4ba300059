// How frames are hashed and which pair a hash stands for, as a table for native code
// (native/core/frame-hash.h), which is the one place that hashes a frame.

import { native } from '../../native/index.js';
import type { Arena } from './arena.js';
import type { HashLimits } from './format.js';

/** VIRTIO 1.3 §5.1.6.4.3.1: IPv4, TCPv4, UDPv4, the same of IPv6, and with extension headers. */
export const HASH_TYPES = 0x1ff;
/** Enough for two addresses of IPv6, two ports and 32 bits, and the least that may be offered. */
export const HASH_KEY_BYTES = 40;
/** The least that may be offered, and all that Linux fills. */
export const HASH_QUEUES_MAX = 128;

export const HASH_LIMITS: HashLimits = {
  keyBytesMax: HASH_KEY_BYTES,
  tableLengthMax: HASH_QUEUES_MAX,
  types: HASH_TYPES,
};

/** The table in words. */
const TYPES = 0;
const MASK = 1;
const UNCLASSIFIED = 2;
const QUEUES = 3;
const KEY = QUEUES + HASH_QUEUES_MAX / 2;
const HALF_BYTES = 2 * (HASH_KEY_BYTES - 4);
const WORDS = KEY + HASH_KEY_BYTES / 4 + HALF_BYTES * 16;

export interface HashRule {
  readonly types: number;
  /** HASH_KEY_BYTES of it. */
  readonly key: Uint8Array;
}

/** Which pair a frame goes to: by the low bits of its hash, and where it has none. */
export interface Steering {
  /** A power of two of them, HASH_QUEUES_MAX at most. */
  readonly queues: Uint16Array;
  readonly unclassified: number;
}

/** What is true of one frame. */
export interface HashedFrame {
  readonly value: number;
  /** How it was found (VIRTIO_NET_HASH_REPORT_*); 0: it has none. */
  readonly report: number;
  readonly queue: number;
}

export class FrameHash {
  /** Where in the arena the table is. */
  readonly offset: number;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #result = new Uint32Array(3);

  constructor(arena: Arena) {
    this.offset = arena.allocate(WORDS * 4);
    this.#words = arena.words(this.offset, WORDS);
    this.#bytes = arena.bytes.subarray(this.offset, this.offset + WORDS * 4);
  }

  static readonly arenaBytes = WORDS * 4;

  update({ types, key }: HashRule, { queues, unclassified }: Steering): void {
    const words = this.#words;
    words[TYPES] = types;
    words[MASK] = queues.length - 1;
    words[UNCLASSIFIED] = unclassified;
    new Uint16Array(words.buffer, words.byteOffset + QUEUES * 4, HASH_QUEUES_MAX).set(queues);
    this.#bytes.set(key, KEY * 4);
    native.frameHashPrepare(this.#bytes);
  }

  of(frame: Uint8Array): HashedFrame {
    native.frameHash(this.#bytes, frame, 0, frame.byteLength, this.#result);
    const [value = 0, report = 0, queue = 0] = this.#result;
    return { value, report, queue };
  }
}
