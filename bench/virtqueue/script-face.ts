// The public Virtqueue under the clock: chains are popped, a decision is made of each in
// TypeScript, and they are given back. The driver's half is not timed.

import {
  type Buffer,
  createRingDriver,
  type RingDriver,
  SharedMemory,
} from '../../src/core/frontend/index.js';
import { GuestMemory, Virtqueue } from '../../src/core/virtqueue/index.js';
import { BATCHES, type Result, type Timing } from './result.js';

const MEMORY_BYTES = 1 << 20;
const BUFFER_BYTES = 16;
/** As a disk reads it: a type, then a place. */
const HEADER_BYTES = 16;

export type FaceName = 'batch' | 'plain';

interface Shape {
  readonly name: string;
  readonly packed: boolean;
  readonly indirect: boolean;
  readonly buffers: number;
}

const SHAPES: readonly Shape[] = [false, true].flatMap((packed) =>
  [
    { indirect: false, buffers: 1 },
    { indirect: false, buffers: 3 },
    { indirect: true, buffers: 3 },
  ].map(({ indirect, buffers }) => ({
    name: `${packed ? 'packed' : 'split'}/${indirect ? 'indirect' : 'direct'}/${buffers}`,
    packed,
    indirect,
    buffers,
  })),
);

class Bench {
  readonly #shape: Shape;
  readonly #size: number;
  readonly #shared = new SharedMemory({ sizeBytes: MEMORY_BYTES, addresses: 'guest' });
  readonly #memory = GuestMemory.of([{ ...this.#shared.region, fd: this.#shared.fd }]);
  readonly #driver: RingDriver;
  readonly #queue: Virtqueue;
  readonly #buffers: Buffer[];
  readonly #mark: number;
  readonly #heads: Uint32Array;
  readonly #used: Uint32Array;
  #count = 0;
  /** Keeps the decisions from being optimised away. */
  wanted = 0;

  constructor(shape: Shape, size: number) {
    this.#shape = shape;
    this.#size = size;
    const { packed } = shape;
    this.#driver = createRingDriver(this.#shared, { size, eventIdx: true, packed });
    this.#buffers = Array.from({ length: shape.buffers }, (_, i) => ({
      offset: this.#shared.allocate(BUFFER_BYTES),
      bytes: BUFFER_BYTES,
      writable: i > 0,
    }));
    this.#mark = this.#shared.mark();
    this.#heads = new Uint32Array(size);
    this.#used = new Uint32Array(size);
    this.#queue = new Virtqueue({
      memory: this.#memory,
      maxSize: size,
      packed,
      headerBytes: HEADER_BYTES,
    });
    const { descriptorOffset, availOffset, usedOffset } = this.#driver;
    this.#queue.descTable = this.#shared.guestAddress(descriptorOffset);
    this.#queue.availRing = this.#shared.guestAddress(availOffset);
    this.#queue.usedRing = this.#shared.guestAddress(usedOffset);
    this.#queue.eventIdx = true;
    this.#queue.ready = true;
  }

  close(): void {
    this.#queue.ready = false;
    this.#memory.release();
    this.#shared.close();
  }

  round(face: FaceName, batch: number, fills: number): Timing {
    let popNs = 0;
    let publishNs = 0;
    let chains = 0;
    for (let i = 0; i < fills; i++) {
      this.#fill();
      const start = process.hrtime.bigint();
      const popped = face === 'batch' ? this.#batches(batch) : this.#chains(batch);
      publishNs += Number(process.hrtime.bigint() - popped);
      popNs += Number(popped - start);
      chains += this.#count;
      if (this.#driver.takeUsed().length !== this.#count) {
        throw new Error('chains were lost');
      }
    }
    return { popNs: popNs / chains, publishNs: publishNs / chains };
  }

  #fill(): void {
    this.#shared.reset(this.#mark);
    const { indirect } = this.#shape;
    this.#count = indirect ? this.#size : Math.floor(this.#size / this.#shape.buffers);
    for (let i = 0; i < this.#count; i++) {
      this.#driver.add(this.#buffers, { indirect });
    }
    this.#driver.publish();
  }

  /** When the last chain was popped and decided. */
  #batches(size: number): bigint {
    let count = 0;
    for (;;) {
      const batch = this.#queue.popBatch(size);
      if (batch.count === 0) {
        break;
      }
      for (let i = 0; i < batch.count; i++) {
        this.#heads[count] = batch.chain(i);
        this.#used[count++] = decide(
          batch.headerWord(i, 0),
          batch.readableBytes(i),
          batch.writableBytes(i),
        );
      }
    }
    const popped = process.hrtime.bigint();
    for (let i = 0; i < count; i++) {
      this.#queue.pushUsed(this.#heads[i] as number, this.#used[i] as number);
      if (i % size === size - 1 || i === count - 1) {
        this.#queue.publishUsed();
        this.wanted += this.#queue.needsNotification() ? 1 : 0;
      }
    }
    return popped;
  }

  #chains(size: number): bigint {
    const chains = [];
    for (const chain of this.#queue) {
      const type = chain.reader.u32();
      this.wanted += decide(type, chain.readableBytes, chain.writableBytes);
      chains.push(chain);
    }
    const popped = process.hrtime.bigint();
    for (const [i, chain] of chains.entries()) {
      chain.complete();
      if (i % size === size - 1 || i === chains.length - 1) {
        this.wanted += this.#queue.needsNotification() ? 1 : 0;
      }
    }
    return popped;
  }
}

/** What a device decides at the least: is the type one it knows, and does the answer fit? */
function decide(type: number, readableBytes: number, writableBytes: number): number {
  if (readableBytes < HEADER_BYTES) {
    return 0;
  }
  return type === 0 ? writableBytes : 1;
}

/** Cases of one face; the plain one has no batches, but calls are asked for in their portions. */
export function runScriptFace(
  face: FaceName,
  size: number,
  rounds: number,
  fills: number,
): Result[] {
  return SHAPES.flatMap((shape) => {
    const bench = new Bench(shape, size);
    const results = BATCHES.map((batch) => {
      let best: Timing = { popNs: Number.POSITIVE_INFINITY, publishNs: 0 };
      for (let i = 0; i < rounds; i++) {
        const now = bench.round(face, batch, fills);
        if (now.popNs + now.publishNs < best.popNs + best.publishNs) {
          best = now;
        }
      }
      return { shape: shape.name, batch, ...best };
    });
    bench.close();
    return results;
  });
}
