// The data half of virtio-blk: what each request means, whether it is allowed, where it goes.

import { closeSync, constants, openSync } from 'node:fs';
import type { HandlerContext, HandlerFactory, QueueHandler } from '../../core/device.js';
import type { Batch } from '../../core/virtqueue/batch.js';
import type { CommandWriter } from '../../core/virtqueue/command-writer.js';
import { FLAG_DURABLE, OP_READ, OP_WRITE } from '../../core/virtqueue/operations.js';
import { Flusher } from './flusher.js';
import {
  ID_BYTES,
  REQUEST_HEADER_BYTES,
  SECTOR_BYTES,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
} from './format.js';
import { RangeJobs } from './range-jobs.js';
import { SharedState } from './shared-state.js';
import { IMAGE, TAG_DURABLE_WRITE, TAG_READ, TAG_WRITE } from './tags.js';

export interface BlkHandlerOptions {
  /** Owned by the control half, which holds the lock on it. */
  readonly fd: number;
  readonly readOnly: boolean;
  /** 0: page cache; else the file is open for O_DIRECT with this alignment in bytes. */
  readonly directAlign: number;
  readonly blockBytes: number;
  readonly serial: string;
  readonly shared: SharedArrayBuffer;
}

class BlkHandler implements QueueHandler {
  readonly #commands: CommandWriter;
  readonly #context: HandlerContext;
  readonly #options: BlkHandlerOptions;
  readonly #state: SharedState;
  readonly #flusher: Flusher;
  readonly #ranges: RangeJobs;
  readonly #fd: number;
  readonly #id: Uint8Array;
  readonly #blockMask: number;
  #capacityBytes = 0;

  constructor(context: HandlerContext) {
    this.#context = context;
    this.#commands = context.commands;
    this.#options = context.options as BlkHandlerOptions;
    const { fd, readOnly, directAlign, blockBytes, serial, shared } = this.#options;
    this.#state = new SharedState(shared);
    this.#flusher = new Flusher(this.#commands, this.#state);
    this.#ranges = new RangeJobs(context, this.#state, this.#flusher, blockBytes);
    this.#blockMask = blockBytes - 1;
    this.#fd = reopen(fd, readOnly, directAlign > 0);
    context.addFile(IMAGE, this.#fd, directAlign);
    this.#id = new Uint8Array(ID_BYTES);
    new TextEncoder().encodeInto(serial, this.#id);
  }

  requests(batch: Batch): void {
    // Once for each batch: a resize changes nothing in the middle of one (RG-046).
    this.#capacityBytes = this.#state.capacitySectors * SECTOR_BYTES;
    for (let i = 0; i < batch.count; i++) {
      this.#request(batch, i);
    }
  }

  completion(chain: number, tag: number, result: number): void {
    if (this.#flusher.owns(tag)) {
      this.#flusher.done(result);
    } else if (this.#ranges.owns(tag)) {
      this.#ranges.done(tag, result);
    } else {
      // Only failures of transfers come here. A durable write that failed left pages behind that
      // nobody will report again.
      if (tag === TAG_DURABLE_WRITE) {
        this.#state.fail();
      }
      this.#end(chain, VIRTIO_BLK_S_IOERR);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #request(batch: Batch, i: number): void {
    const chain = batch.chain(i);
    const readable = batch.readableBytes(i);
    const writable = batch.writableBytes(i);
    if (writable === 0) {
      // No place for a status: the driver gets its buffers back and no promise (BK-002).
      this.#commands.complete(chain, 0);
      return;
    }
    if (readable < REQUEST_HEADER_BYTES) {
      this.#end(chain, VIRTIO_BLK_S_IOERR);
      return;
    }
    // Beyond 2^53 the sum is inexact, but far beyond every capacity all the same (BK-013).
    const sector = batch.headerWord(i, 2) + batch.headerWord(i, 3) * 2 ** 32;
    switch (batch.headerWord(i, 0)) {
      case VIRTIO_BLK_T_IN:
        this.#read(chain, sector * SECTOR_BYTES, writable - 1);
        break;
      case VIRTIO_BLK_T_OUT:
        this.#write(chain, sector * SECTOR_BYTES, readable - REQUEST_HEADER_BYTES);
        break;
      case VIRTIO_BLK_T_FLUSH:
        this.#flusher.flush((status) => this.#end(chain, status));
        break;
      case VIRTIO_BLK_T_GET_ID:
        this.#getId(chain, writable - 1);
        break;
      case VIRTIO_BLK_T_DISCARD:
      case VIRTIO_BLK_T_WRITE_ZEROES:
        this.#range(chain, batch.headerWord(i, 0), readable - REQUEST_HEADER_BYTES);
        break;
      default:
        this.#end(chain, VIRTIO_BLK_S_UNSUPP);
    }
  }

  #read(chain: number, offset: number, bytes: number): void {
    if (!this.#inRange(offset, bytes)) {
      this.#end(chain, VIRTIO_BLK_S_IOERR);
      return;
    }
    this.#commands.transfer(
      OP_READ,
      chain,
      0,
      IMAGE,
      offset,
      bytes,
      0,
      VIRTIO_BLK_S_OK,
      bytes + 1,
      TAG_READ,
    );
  }

  #write(chain: number, offset: number, bytes: number): void {
    if (this.#options.readOnly || this.#state.failed || !this.#inRange(offset, bytes)) {
      this.#end(chain, VIRTIO_BLK_S_IOERR);
      return;
    }
    const durable = !this.#state.writeback;
    this.#commands.transfer(
      OP_WRITE,
      chain,
      durable ? FLAG_DURABLE : 0,
      IMAGE,
      offset,
      bytes,
      REQUEST_HEADER_BYTES,
      VIRTIO_BLK_S_OK,
      1,
      durable ? TAG_DURABLE_WRITE : TAG_WRITE,
    );
  }

  /** The whole request is inside the disk and made of whole blocks (BK-010..014). */
  #inRange(offset: number, bytes: number): boolean {
    // `offset % block` by mask would need 32 bits; the remainder of exact doubles is exact.
    return (
      bytes > 0 &&
      (bytes & this.#blockMask) === 0 &&
      offset + bytes <= this.#capacityBytes &&
      offset % this.#options.blockBytes === 0
    );
  }

  #getId(chain: number, room: number): void {
    const bytes = Math.min(room, ID_BYTES);
    this.#context.copyIn(chain, 0, this.#id, bytes);
    this.#commands.completeWithTail(chain, VIRTIO_BLK_S_OK, bytes + 1);
  }

  #range(chain: number, type: number, bytes: number): void {
    if (this.#options.readOnly || this.#state.failed) {
      this.#end(chain, VIRTIO_BLK_S_IOERR);
      return;
    }
    const zeroes = type === VIRTIO_BLK_T_WRITE_ZEROES;
    this.#ranges.start(chain, zeroes, bytes, this.#capacityBytes, (status) =>
      this.#end(chain, status),
    );
  }

  #end(chain: number, status: number): void {
    this.#commands.completeWithTail(chain, status, 1);
  }
}

/** An open file description of this worker's own: the kernel reports a lost write once for each of
 *  them, so two workers that flush at the same time both learn of it. */
function reopen(fd: number, readOnly: boolean, direct: boolean): number {
  const access = readOnly ? constants.O_RDONLY : constants.O_RDWR;
  return openSync(`/proc/self/fd/${fd}`, access | (direct ? constants.O_DIRECT : 0));
}

export const handlerFactory: HandlerFactory = {
  headerBytes: REQUEST_HEADER_BYTES,
  create: (context) => new BlkHandler(context),
};
