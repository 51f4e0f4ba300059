// DISCARD and WRITE_ZEROES: a list of ranges, done one after the other with fallocate, or with
// written zeroes where the file system can't.

import { constants } from 'node:os';
import type { HandlerContext } from '../../core/device.js';
import type { Flusher, StatusCallback } from './flusher.js';
import {
  REQUEST_HEADER_BYTES,
  SECTOR_BYTES,
  SEGMENT_BYTES,
  SEGMENT_FLAG_UNMAP,
  SEGMENT_SECTORS_MAX,
  SEGMENTS_MAX,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
} from './format.js';
import type { SharedState } from './shared-state.js';
import { IMAGE, TAG_FIRST_RANGE, TAG_MAX } from './tags.js';

// fallocate(2) modes. KEEP_SIZE always: nothing a guest does makes the image grow (I9).
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const ZERO_RANGE = 16;

interface Range {
  readonly offset: number;
  readonly bytes: number;
  readonly unmap: boolean;
}

interface Job {
  readonly zeroes: boolean;
  readonly ranges: readonly Range[];
  readonly done: StatusCallback;
  next: number;
  /** True while the current range is written as zeroes because fallocate was refused. */
  writing: boolean;
}

export class RangeJobs {
  readonly #context: HandlerContext;
  readonly #state: SharedState;
  readonly #flusher: Flusher;
  readonly #blockBytes: number;
  readonly #jobs = new Map<number, Job>();
  readonly #scratch = new Uint8Array(REQUEST_HEADER_BYTES + SEGMENTS_MAX * SEGMENT_BYTES);
  #nextTag = TAG_FIRST_RANGE;

  constructor(context: HandlerContext, state: SharedState, flusher: Flusher, blockBytes: number) {
    this.#context = context;
    this.#state = state;
    this.#flusher = flusher;
    this.#blockBytes = blockBytes;
  }

  /** `listBytes`: what follows the request header. Calls `done` with the status, now or later. */
  start(
    chain: number,
    zeroes: boolean,
    listBytes: number,
    capacityBytes: number,
    done: StatusCallback,
  ): void {
    const segments = listBytes / SEGMENT_BYTES;
    if (segments < 1 || segments > SEGMENTS_MAX || !Number.isInteger(segments)) {
      done(VIRTIO_BLK_S_IOERR);
      return;
    }
    // One copy, then checked, then used: the guest can still write to its own (BK-023).
    const list = this.#scratch;
    this.#context.copyOut(chain, 0, list, REQUEST_HEADER_BYTES + listBytes);
    const view = new DataView(list.buffer, REQUEST_HEADER_BYTES, listBytes);
    const ranges: Range[] = [];
    for (let i = 0; i < segments; i++) {
      const range = this.#decode(view, i * SEGMENT_BYTES, zeroes, capacityBytes);
      if (typeof range === 'number') {
        done(range);
        return;
      }
      if (range.bytes > 0) {
        ranges.push(range);
      }
    }
    this.#step(this.#newTag(), { zeroes, ranges, done, next: 0, writing: false });
  }

  owns(tag: number): boolean {
    return tag >= TAG_FIRST_RANGE;
  }

  done(tag: number, result: number): void {
    const job = this.#jobs.get(tag);
    this.#jobs.delete(tag);
    if (job === undefined) {
      return;
    }
    if (result === -constants.errno.EOPNOTSUPP && !job.writing) {
      if (job.zeroes) {
        job.writing = true;
        this.#step(tag, job);
        return;
      }
      // A discard is a hint; a file system that can't punch holes has taken it.
    } else if (result < 0) {
      job.done(VIRTIO_BLK_S_IOERR);
      return;
    }
    job.next++;
    job.writing = false;
    this.#step(tag, job);
  }

  /** The range, or the status that refuses it (BK-021, BK-022). */
  #decode(view: DataView, at: number, zeroes: boolean, capacityBytes: number): Range | number {
    const sector = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
    const sectors = view.getUint32(at + 8, true);
    const flags = view.getUint32(at + 12, true);
    // §5.2.6.2: unknown flags, and unmap on a discard, are unsupported.
    if ((flags & ~(zeroes ? SEGMENT_FLAG_UNMAP : 0)) !== 0) {
      return VIRTIO_BLK_S_UNSUPP;
    }
    const offset = sector * SECTOR_BYTES;
    const bytes = sectors * SECTOR_BYTES;
    const whole = offset % this.#blockBytes === 0 && bytes % this.#blockBytes === 0;
    if (!whole || sectors > SEGMENT_SECTORS_MAX || offset + bytes > capacityBytes) {
      return VIRTIO_BLK_S_IOERR;
    }
    return { offset, bytes, unmap: (flags & SEGMENT_FLAG_UNMAP) !== 0 };
  }

  #step(tag: number, job: Job): void {
    const range = job.ranges[job.next];
    if (range === undefined) {
      // Discards and zeroes are writes: with the write cache off they are stable when done.
      if (this.#state.writeback) {
        job.done(VIRTIO_BLK_S_OK);
      } else {
        this.#flusher.flush(job.done);
      }
      return;
    }
    this.#jobs.set(tag, job);
    const { commands } = this.#context;
    if (job.writing) {
      commands.writeZeros(IMAGE, range.offset, range.bytes, 0, tag);
    } else {
      const mode = !job.zeroes || range.unmap ? PUNCH_HOLE : ZERO_RANGE;
      commands.allocate(IMAGE, range.offset, range.bytes, mode | KEEP_SIZE, tag);
    }
  }

  #newTag(): number {
    do {
      this.#nextTag = this.#nextTag >= TAG_MAX ? TAG_FIRST_RANGE : this.#nextTag + 1;
    } while (this.#jobs.has(this.#nextTag));
    return this.#nextTag;
  }
}
