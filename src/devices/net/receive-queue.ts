// Receive chains the driver has posted and no frame has filled yet, in the driver's order.

import type { HandlerContext } from '../../core/device.js';
import {
  FLAG_MERGE,
  FRAME_REPORT_BYTES,
  FRAME_REPORT_CHAINS,
  FRAME_REPORT_DROPPED,
  FRAME_REPORT_FILTERED,
  FRAME_REPORT_FRAMES,
  FRAME_REPORT_WORDS,
  NO_CHAIN,
} from '../../core/virtqueue/operations.js';
import { Arena } from './arena.js';
import type { DropReason, NetCounters } from './counters.js';
import { HASH_HEADER_BYTES, HASH_OFFSET, HEADER_BYTES } from './format.js';
import type { FrameFilter } from './frame-filter.js';
import type { FrameHash } from './frame-hash.js';
import { BYTES_PER_TURN, FRAMES_PER_TURN } from './queues.js';

/** One ring of chains posted while a command reads the list, one that waits already, and one so
 *  that a list which is never empty moves once in a ring's length. */
const RINGS_OF_ROOM = 3;

/** Drivers that refill late (Linux: with half of a small ring free) must still get frames. */
const REFILL_FRACTION = 4;

/** With room for so many of the longest frames, and so much of what is posted at the most, the
 *  driver is not asked for kicks: each refill would wake us for nothing, and an emulated guest
 *  would go through its monitor. */
const FRAMES_WITHOUT_KICKS = 2;
const KICKS_FRACTION = 2;

const NUM_BUFFERS_OFFSET = 10;

/** Where a host's end brings frames for the driver. */
export interface Receiver {
  /** Whether the longest frame would find its place, or nothing better can be expected: reading one
   *  that does not fit loses it. */
  readonly ready: boolean;
  /** Orders frames of a descriptor into the chains; `received` must be called when it is over. */
  receive(fd: number, flags: number, tag: number): void;
  /** The order has been carried out; true when it got anything. */
  received(): boolean;
  /** Copies one frame into as many chains as it takes, unless the driver does not want it. False:
   *  they have no room for it, and hold nothing of it. `header`: of HEADER_BYTES, num_buffers is
   *  filled in. */
  deliver(frame: Uint8Array, header?: Uint8Array): boolean;
  /** A frame that the chains have no room for, or that is none. */
  dropped(reason: DropReason): void;
}

export interface ReceiveQueueOptions {
  readonly context: HandlerContext;
  readonly arena: Arena;
  readonly counters: NetCounters;
  /** Which frames the driver wants. */
  readonly filter: FrameFilter;
  readonly hash: FrameHash;
  readonly queue: number;
  /** Largest ring of the device. */
  readonly queueSize: number;
}

export class ReceiveQueue implements Receiver {
  /** The driver can be given frames on it. */
  open = false;
  readonly #options: ReceiveQueueOptions;
  /** Chain numbers in [head, tail), and beside them the bytes each has room for. */
  readonly #chains: Uint32Array;
  readonly #chainsOffset: number;
  readonly #room: Uint32Array;
  readonly #report: Uint32Array;
  readonly #reportOffset: number;
  readonly #header = new Uint8Array(HASH_HEADER_BYTES);
  #headerBytes = HEADER_BYTES;
  #head = 0;
  #tail = 0;
  #roomBytes = 0;
  /** The most that was ever posted at a time. */
  #roomBytesMax = 0;
  #kicksAsked = true;
  /** A receiveFrames command reads the list: it must not move. */
  #listed = false;
  #merge = false;
  #frameBytesMax = 0;
  /** Tag under which frames are shown; 0: nobody looks on. */
  #captureTag = 0;

  constructor(options: ReceiveQueueOptions) {
    this.#options = options;
    const { arena, queueSize } = options;
    const capacity = RINGS_OF_ROOM * queueSize;
    this.#chainsOffset = arena.allocate(capacity * 4);
    this.#chains = arena.words(this.#chainsOffset, capacity);
    this.#room = new Uint32Array(capacity);
    this.#reportOffset = arena.allocate(FRAME_REPORT_WORDS * 4);
    this.#report = arena.words(this.#reportOffset, FRAME_REPORT_WORDS);
  }

  /** What one queue takes of an arena. */
  static arenaBytes(queueSize: number): number {
    return Arena.rounded(RINGS_OF_ROOM * queueSize * 4) + Arena.rounded(FRAME_REPORT_WORDS * 4);
  }

  /** `frameBytesMax`: the longest frame the host may have for the driver. */
  negotiated(headerBytes: number, merge: boolean, frameBytesMax: number): void {
    this.#headerBytes = headerBytes;
    this.#merge = merge;
    this.#frameBytesMax = frameBytesMax;
    this.#roomBytesMax = 0;
    this.#askKicks();
  }

  /** Shows every frame from now on (HandlerContext.capture). */
  show(captureTag: number): void {
    this.#captureTag = captureTag;
  }

  get waiting(): number {
    return this.#tail - this.#head;
  }

  /** Takes a chain. One too short for a header goes back at once (NT-012). */
  post(chain: number, roomBytes: number): void {
    if (roomBytes < this.#headerBytes) {
      this.#options.context.commands.complete(chain, 0);
      return;
    }
    if (this.#tail === this.#chains.length && !this.#listed) {
      this.#compact();
    }
    this.#chains[this.#tail] = chain;
    this.#room[this.#tail++] = roomBytes;
    this.#roomBytes += roomBytes;
    this.#roomBytesMax = Math.max(this.#roomBytesMax, this.#roomBytes);
    this.#askKicks();
  }

  get ready(): boolean {
    if (this.waiting === 0 || this.#listed) {
      return false;
    }
    const longest = this.#headerBytes + this.#frameBytesMax;
    const enough = Math.min(longest, this.#roomBytesMax / REFILL_FRACTION);
    return !this.#merge || this.#roomBytes >= enough;
  }

  /** What of an order is the same for every queue of a driver. */
  get orderFlags(): number {
    return this.#merge ? FLAG_MERGE : 0;
  }

  get headerBytes(): number {
    return this.#headerBytes;
  }

  get captureTag(): number {
    return this.#captureTag;
  }

  /** The chains as an order names them, until `filled` says what became of them. */
  list(): { readonly offset: number; readonly count: number } {
    if (this.#tail > (RINGS_OF_ROOM - 1) * this.#options.queueSize) {
      this.#compact();
    }
    this.#listed = true;
    return { offset: this.#chainsOffset + this.#head * 4, count: this.waiting };
  }

  receive(fd: number, flags: number, tag: number): void {
    const { context, filter, hash } = this.#options;
    const { offset, count } = this.list();
    context.commands.receiveFrames(
      fd,
      flags | this.orderFlags,
      offset,
      count,
      this.#reportOffset,
      this.#headerBytes,
      FRAMES_PER_TURN,
      BYTES_PER_TURN,
      filter.offset,
      this.#reports ? hash.offset : undefined,
      tag,
      this.#captureTag,
    );
  }

  received(): boolean {
    return this.filled(this.#report);
  }

  /** An order has been carried out on the chains listed; true when it got anything. Clears the
   *  report: a command that fails outright leaves it as it is. */
  filled(report: Uint32Array): boolean {
    const { counters, queue } = this.#options;
    const frames = report[FRAME_REPORT_FRAMES] as number;
    const dropped = report[FRAME_REPORT_DROPPED] as number;
    const filtered = report[FRAME_REPORT_FILTERED] as number;
    this.#listed = false;
    this.#consume(report[FRAME_REPORT_CHAINS] as number);
    counters.moved(queue, frames, report[FRAME_REPORT_BYTES] as number);
    report.fill(0);
    if (dropped > 0) {
      counters.dropped(queue, 'room', dropped);
    }
    if (filtered > 0) {
      counters.dropped(queue, 'filtered', filtered);
    }
    return frames + dropped + filtered > 0;
  }

  deliver(frame: Uint8Array, header?: Uint8Array): boolean {
    if (!this.#options.filter.passes(frame)) {
      this.dropped('filtered');
      return true;
    }
    const count = this.#chainsFor(this.#headerBytes + frame.byteLength);
    if (count === 0) {
      return false;
    }
    this.#writeHeader(frame, header, count);
    const { context, counters, queue } = this.#options;
    let from = 0;
    for (let i = 0; i < count; i++) {
      const chain = this.#chains[this.#head + i] as number;
      const room = this.#room[this.#head + i] as number;
      const gap = i === 0 ? this.#headerBytes : 0;
      if (i === 0) {
        context.copyIn(chain, 0, this.#header, gap);
      }
      const here = Math.min(room - gap, frame.byteLength - from);
      context.copyIn(chain, gap, frame.subarray(from, from + here), here);
      from += here;
      context.commands.complete(chain, gap + here);
    }
    this.#consume(count);
    counters.moved(queue, 1, frame.byteLength);
    if (this.#captureTag !== 0) {
      context.capture(this.#captureTag, frame, NO_CHAIN, 0, 0);
    }
    return true;
  }

  dropped(reason: DropReason): void {
    this.#options.counters.dropped(this.#options.queue, reason);
  }

  /** The ring stops: chains go back into it untouched, the last one first. */
  takeBack(): void {
    for (let i = this.#tail - 1; i >= this.#head; i--) {
      this.#options.context.commands.unpop(this.#chains[i] as number);
    }
    this.#tail = this.#head;
    this.#roomBytes = 0;
    this.#askKicks();
  }

  get #reports(): boolean {
    return this.#headerBytes === HASH_HEADER_BYTES;
  }

  #writeHeader(frame: Uint8Array, header: Uint8Array | undefined, buffers: number): void {
    const head = this.#header;
    head.fill(0);
    if (header !== undefined) {
      head.set(header);
    }
    const view = new DataView(head.buffer);
    view.setUint16(NUM_BUFFERS_OFFSET, buffers, true);
    if (this.#reports) {
      const { value, report } = this.#options.hash.of(frame);
      view.setUint32(HASH_OFFSET, value, true);
      view.setUint16(HASH_OFFSET + 4, report, true);
    }
  }

  /** How many chains a frame with its header takes; 0: more than there are. */
  #chainsFor(totalBytes: number): number {
    let room = 0;
    const last = this.#merge ? this.#tail : Math.min(this.#tail, this.#head + 1);
    for (let i = this.#head; i < last; i++) {
      room += this.#room[i] as number;
      if (room >= totalBytes) {
        return i - this.#head + 1;
      }
    }
    return 0;
  }

  #consume(count: number): void {
    const end = Math.min(this.#head + count, this.#tail);
    for (; this.#head < end; this.#head++) {
      this.#roomBytes -= this.#room[this.#head] as number;
    }
    if (this.#head === this.#tail && !this.#listed) {
      this.#head = this.#tail = 0;
    }
    this.#askKicks();
  }

  #askKicks(): void {
    const longest = this.#headerBytes + this.#frameBytesMax;
    const enough = Math.max(FRAMES_WITHOUT_KICKS * longest, this.#roomBytesMax / KICKS_FRACTION);
    const asked = this.#roomBytes < enough;
    if (asked !== this.#kicksAsked) {
      this.#kicksAsked = asked;
      this.#options.context.askKicks(this.#options.queue, asked);
    }
  }

  #compact(): void {
    this.#chains.copyWithin(0, this.#head, this.#tail);
    this.#room.copyWithin(0, this.#head, this.#tail);
    this.#tail -= this.#head;
    this.#head = 0;
  }
}
