// The receive queues of a card whose host end delivers everything on one input: a frame goes to the
// queue its hash stands for (VIRTIO 1.3 §5.1.6.5.7). Without steering the first has them all.

import type { HandlerContext } from '../../core/device.js';
import {
  FLAG_STEER,
  FRAME_LIST_WORDS,
  FRAME_REPORT_WORDS,
} from '../../core/virtqueue/operations.js';
import { Arena } from './arena.js';
import type { DropReason } from './counters.js';
import type { FrameFilter } from './frame-filter.js';
import type { FrameHash } from './frame-hash.js';
import { BYTES_PER_TURN, FRAMES_PER_TURN } from './queues.js';
import type { ReceiveQueue, Receiver } from './receive-queue.js';

export interface SteeredReceiveOptions {
  readonly context: HandlerContext;
  readonly arena: Arena;
  readonly filter: FrameFilter;
  readonly hash: FrameHash;
  readonly pairs: number;
  /** Of that pair; undefined: it has never run. The first always has. */
  readonly queueAt: (pair: number) => ReceiveQueue | undefined;
}

export class SteeredReceive implements Receiver {
  /** Frames are dealt by their hash. */
  steering = false;
  readonly #options: SteeredReceiveOptions;
  readonly #lists: Uint32Array;
  readonly #listsOffset: number;
  readonly #reports: Uint32Array;
  readonly #reportsOffset: number;
  /** Queues of the order that is being carried out; undefined: it is the first queue's own. */
  #ordered: readonly (ReceiveQueue | undefined)[] | undefined;

  constructor(options: SteeredReceiveOptions) {
    this.#options = options;
    const { arena, pairs } = options;
    const [listWords, reportWords] = [pairs * FRAME_LIST_WORDS, pairs * FRAME_REPORT_WORDS];
    this.#listsOffset = arena.allocate(listWords * 4);
    this.#lists = arena.words(this.#listsOffset, listWords);
    this.#reportsOffset = arena.allocate(reportWords * 4);
    this.#reports = arena.words(this.#reportsOffset, reportWords);
  }

  static arenaBytes(pairs: number): number {
    return (
      Arena.rounded(pairs * FRAME_LIST_WORDS * 4) + Arena.rounded(pairs * FRAME_REPORT_WORDS * 4)
    );
  }

  /** A queue without chains holds up all others: only its own driver suffers, nothing is lost. */
  get ready(): boolean {
    if (!this.steering) {
      return this.#first.ready;
    }
    const open = this.#queues.filter((queue) => queue?.open);
    return open.length > 0 && open.every((queue) => queue?.ready);
  }

  receive(fd: number, flags: number, tag: number): void {
    if (!this.steering) {
      this.#ordered = undefined;
      this.#first.receive(fd, flags, tag);
      return;
    }
    const { context, pairs, filter, hash } = this.#options;
    const ordered = this.#queues.map((queue) => (queue?.open ? queue : undefined));
    this.#ordered = ordered;
    for (const [i, queue] of ordered.entries()) {
      const { offset, count } = queue?.list() ?? { offset: 0, count: 0 };
      this.#lists.set([offset, count], i * FRAME_LIST_WORDS);
    }
    context.commands.receiveFrames(
      fd,
      flags | FLAG_STEER | this.#first.orderFlags,
      this.#listsOffset,
      pairs,
      this.#reportsOffset,
      this.#first.headerBytes,
      FRAMES_PER_TURN,
      BYTES_PER_TURN,
      filter.offset,
      hash.offset,
      tag,
      this.#first.captureTag,
    );
  }

  received(): boolean {
    if (this.#ordered === undefined) {
      return this.#first.received();
    }
    let any = false;
    for (const [i, queue] of this.#ordered.entries()) {
      const at = i * FRAME_REPORT_WORDS;
      const report = this.#reports.subarray(at, at + FRAME_REPORT_WORDS);
      // Frames to a queue that is not open are its loss, but nobody's chains.
      any = (queue ?? this.#first).filled(report) || any;
    }
    return any;
  }

  deliver(frame: Uint8Array, header?: Uint8Array): boolean {
    const queue = this.#queueOf(frame);
    if (queue?.open) {
      return queue.deliver(frame, header);
    }
    this.dropped('room');
    return true;
  }

  dropped(reason: DropReason): void {
    this.#first.dropped(reason);
  }

  get #first(): ReceiveQueue {
    return this.#options.queueAt(0) as ReceiveQueue;
  }

  get #queues(): (ReceiveQueue | undefined)[] {
    const { pairs, queueAt } = this.#options;
    return Array.from({ length: pairs }, (_, pair) => queueAt(pair));
  }

  #queueOf(frame: Uint8Array): ReceiveQueue | undefined {
    const { hash, queueAt } = this.#options;
    return queueAt(this.steering ? hash.of(frame).queue : 0);
  }
}
