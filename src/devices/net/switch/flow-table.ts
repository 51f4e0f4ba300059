// What the fabric has decided, for native code to go by: frames of a guest with the same front
// go the same way without being decided again, until the decision is taken back or a tenth of a
// second has passed. Then one of them is decided anew, and its sender heard of again. A frame
// decided costs four times as much as one that a flow speaks for.

import type { Batch } from '../../../core/virtqueue/batch.js';
import { exchange } from '../../../native/index.js';
import type { Arena } from '../arena.js';
import { FRAME_BYTES_MAX, HEADER_BYTES } from '../format.js';

/** However long a flow might hold: stations age by what is decided. */
export const LEASE_S = 0.1;

const WORD_BYTES = 4;
const TABLE_WORDS = exchange.FLOWS_PER_QUEUE * exchange.FLOW_WORDS;
const MS_PER_S = 1000;
const NS_PER_MS = 1e6;

/** Of the front: all of the virtio header but num_buffers, which drivers leave as it was; the
 *  addresses and the type behind them, or behind a tag. */
const UNTAGGED_MASK = Uint32Array.of(~0, ~0, 0xffff, ~0, ~0, ~0, 0xffff, 0);
const TAGGED_MASK = Uint32Array.of(~0, ~0, 0xffff, ~0, ~0, ~0, ~0, 0xffff);

export class FlowTable {
  readonly #offset: number;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  /** Of each port: the flow that goes when another comes. */
  readonly #next: Uint8Array;
  /** Of `performance.now()` on the clock native code goes by. */
  readonly #zeroMs: number;
  #any = false;

  constructor(arena: Arena, ports: number) {
    this.#offset = arena.allocate(FlowTable.arenaBytes(ports));
    this.#words = arena.words(this.#offset, ports * TABLE_WORDS);
    this.#doubles = new Float64Array(arena.bytes.buffer, this.#offset, (ports * TABLE_WORDS) / 2);
    this.#next = new Uint8Array(ports);
    const [seconds, nanoseconds] = process.hrtime();
    this.#zeroMs = seconds * MS_PER_S + nanoseconds / NS_PER_MS - performance.now();
  }

  static arenaBytes(ports: number): number {
    return ports * TABLE_WORDS * WORD_BYTES;
  }

  /** Of a port's flows, in the arena. */
  offsetOf(port: number): number {
    return this.#offset + port * TABLE_WORDS * WORD_BYTES;
  }

  /**
   * Frames of `from` with the front of request `index`, and at least `readableMin` bytes with the
   * virtio header, go into chains of `queue` until `untilS`: behind `prefix`, which stands for the
   * first `skippedBytes` of them.
   */
  open(
    from: number,
    batch: Batch,
    index: number,
    tagged: boolean,
    queue: number,
    prefix: Uint32Array,
    prefixBytes: number,
    skippedBytes: number,
    readableMin: number,
    untilS: number,
  ): void {
    const mask = tagged ? TAGGED_MASK : UNTAGGED_MASK;
    const words = this.#words;
    const at = this.#place(from, batch, index, mask);
    for (let i = 0; i < exchange.FLOW_FRONT_WORDS; i++) {
      words[at + exchange.FLOW_FRONT + i] = batch.headerWord(index, i);
      words[at + exchange.FLOW_MASK + i] = mask[i] as number;
    }
    words.set(prefix, at + exchange.FLOW_PREFIX);
    words[at + exchange.FLOW_PREFIX_BYTES] = prefixBytes;
    words[at + exchange.FLOW_SKIPPED_BYTES] = skippedBytes;
    words[at + exchange.FLOW_READABLE_MIN] = readableMin;
    words[at + exchange.FLOW_READABLE_MAX] = HEADER_BYTES + FRAME_BYTES_MAX;
    words[at + exchange.FLOW_TARGET] = queue;
    this.#doubles[(at + exchange.FLOW_UNTIL_MS) / 2] = this.#zeroMs + untilS * MS_PER_S;
    this.#any = true;
  }

  /** Takes back all of them: something they were decided by has changed. */
  clear(): void {
    if (!this.#any) {
      return;
    }
    for (let at = exchange.FLOW_UNTIL_MS; at < this.#words.length; at += exchange.FLOW_WORDS) {
      this.#doubles[at / 2] = 0;
    }
    this.#any = false;
  }

  /** Where the flow of that front is, or can be: two that speak for the same frame must not be. */
  #place(from: number, batch: Batch, index: number, mask: Uint32Array): number {
    for (let i = 0; i < exchange.FLOWS_PER_QUEUE; i++) {
      const at = from * TABLE_WORDS + i * exchange.FLOW_WORDS;
      if (this.#hasFront(at, batch, index, mask)) {
        return at;
      }
    }
    const next = this.#next[from] as number;
    this.#next[from] = (next + 1) % exchange.FLOWS_PER_QUEUE;
    return from * TABLE_WORDS + next * exchange.FLOW_WORDS;
  }

  #hasFront(at: number, batch: Batch, index: number, mask: Uint32Array): boolean {
    for (let i = 0; i < exchange.FLOW_FRONT_WORDS; i++) {
      const differs = (this.#words[at + i] as number) ^ batch.headerWord(index, i);
      if ((differs & (mask[i] as number)) !== 0) {
        return false;
      }
    }
    return true;
  }
}
