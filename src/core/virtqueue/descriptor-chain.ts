// The plain face of a request: one descriptor chain with a reader over its device-readable part and a
// writer over its device-writable part. It costs a copy and an object for each chain; devices that
// move data between files and guest memory use the batch face.

import type { ChainAccess } from './chain-access.js';
import { ChainReader } from './chain-reader.js';
import { ChainWriter } from './chain-writer.js';
import { QueueError } from './queue-error.js';

/** The worker's side of a chain: `HandlerContext` has the copies, its commands the completion. */
export interface ChainBackend {
  copyOut(chain: number, offset: number, to: Uint8Array, bytes: number): number;
  copyIn(chain: number, offset: number, from: Uint8Array, bytes: number): number;
  complete(chain: number, usedBytes: number): void;
  /** The chain is kept beyond the call that serves it. */
  keep(chain: DescriptorChain): void;
}

/** Which chain: its number (queue and head index) and the lengths of its two parts, in bytes. */
export interface ChainPlace {
  readonly chain: number;
  readonly readableBytes: number;
  readonly writableBytes: number;
}

/** Low half of a chain's number (exchange.h). */
const HEAD_MASK = 0xffff;

export class DescriptorChain {
  /** The virtqueue it came from. */
  readonly queue: number;
  /** Index of its first descriptor, which names it in the used ring. */
  readonly head: number;
  /** Device-readable bytes in all. */
  readonly readableBytes: number;
  /** Device-writable bytes in all. */
  readonly writableBytes: number;
  readonly reader: ChainReader;
  readonly writer: ChainWriter;
  readonly #backend: ChainBackend;
  readonly #chain: number;
  #usedBytes = 0;
  #completed = false;
  #kept = false;

  constructor(backend: ChainBackend, { chain, readableBytes, writableBytes }: ChainPlace) {
    this.#backend = backend;
    this.#chain = chain;
    this.queue = chain >>> 16;
    this.head = chain & HEAD_MASK;
    this.readableBytes = readableBytes;
    this.writableBytes = writableBytes;
    const access: ChainAccess = {
      requireOpen: () => this.#requireOpen(),
      copyOut: (offset, to, bytes) => backend.copyOut(chain, offset, to, bytes),
      copyIn: (offset, from, bytes) => {
        const copied = backend.copyIn(chain, offset, from, bytes);
        this.#usedBytes += Math.max(copied, 0);
        return copied;
      },
    };
    this.reader = new ChainReader(access, 0, readableBytes);
    this.writer = new ChainWriter(access, 0, writableBytes);
  }

  /** Bytes written so far by all writers of the chain: what completing it reports. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** True once the chain was given back to the driver. */
  get completed(): boolean {
    return this.#completed;
  }

  /** True while the device keeps the chain for later. */
  get kept(): boolean {
    return this.#kept && !this.#completed;
  }

  /** The chain outlives `process`: whoever keeps it completes it. */
  keep(): void {
    this.#requireOpen();
    if (!this.#kept) {
      this.#kept = true;
      this.#backend.keep(this);
    }
  }

  /** Gives the chain back to the driver with the bytes written as used length (VIRTIO 1.3 §2.7.8).
   *  Throws COMPLETED the second time. */
  complete(): void {
    this.#requireOpen();
    this.#completed = true;
    this.#backend.complete(this.#chain, this.#usedBytes);
  }

  #requireOpen(): void {
    if (this.#completed) {
      throw new QueueError('COMPLETED', `queue ${this.queue}, head ${this.head}`);
    }
  }
}
