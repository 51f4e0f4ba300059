// A virtqueue that its owner drives itself: the counterpart of rust-vmm's QueueT and QueueOwnedT.
// Split and packed rings have this one face. Rings and buffers stay with native code; what comes up
// here are chains by their head index, lengths and private copies.

import { exchange, NO_INFLIGHT, native, type OwnedQueue } from '../../native/index.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import type { InflightArea } from '../memory/inflight-area.js';
import { Batch } from './batch.js';
import { type ChainBackend, DescriptorChain } from './descriptor-chain.js';
import { QueueConfig } from './queue-config.js';
import { codeOfFault, QueueError, type QueueErrorCode } from './queue-error.js';
import type { QueueState } from './queue-state.js';

const { REQUESTS_MAX, RECORD_WORDS } = exchange;

/** Mode bits of the native start(). */
const MODE_EVENT_IDX = 1;
const MODE_PACKED = 2;
const MODE_IN_ORDER = 4;
const MODE_GUEST_ADDRESSES = 8;

/** Answers of the native side, which are -errno. */
const EBUSY = -16;
const EFAULT = -14;
const EBADMSG = -74;

const USED_WORDS = 2;
const DEFAULT_HEADER_BYTES = 16;
/** Low half of a chain's number (exchange.h). */
const HEAD_MASK = 0xffff;

export interface VirtqueueOptions {
  /** Where the ring and its buffers are; stays the caller's. */
  readonly memory: GuestMemory;
  /** 1 to 32768; of a split ring a power of two. */
  readonly maxSize: number;
  /** The packed format (VIRTIO 1.3 §2.8); default: split. */
  readonly packed?: boolean;
  /** VIRTIO_F_IN_ORDER: a chain given back out of turn is kept until those before it went. */
  readonly inOrder?: boolean;
  /** What the ring's three addresses are; buffers are always at guest addresses. Default: guest. */
  readonly addresses?: 'guest' | 'user';
  /** First bytes of each chain that come with a batch, 0 to 48. Default: 16. */
  readonly headerBytes?: number;
  /** The queue's number, for its chains and the inflight area. */
  readonly index?: number;
  /** Chains are recorded there, and those it holds are popped first (vhost-user: Inflight I/O). */
  readonly inflight?: InflightArea;
}

/** What a state does not say. */
export type RestoreOptions = Pick<
  VirtqueueOptions,
  'addresses' | 'headerBytes' | 'index' | 'inflight'
>;

export class Virtqueue {
  readonly packed: boolean;
  readonly inOrder: boolean;
  readonly index: number;
  readonly #options: VirtqueueOptions;
  readonly #requests = new Uint32Array(REQUESTS_MAX * RECORD_WORDS);
  readonly #used = new Uint32Array(REQUESTS_MAX * USED_WORDS);
  readonly #batch = new Batch({ requests: this.#requests });
  #memory: GuestMemory;
  #config: QueueConfig;
  /** While the queue is ready. */
  #ring: OwnedQueue | undefined;
  #backend: ChainBackend | undefined;
  #usedCount = 0;

  /** A queue that is not ready, as large as it may be. Throws INVALID_MAX_SIZE. */
  constructor(options: VirtqueueOptions) {
    this.#options = options;
    this.#memory = options.memory;
    this.packed = options.packed ?? false;
    this.inOrder = options.inOrder ?? false;
    this.index = options.index ?? 0;
    this.#config = new QueueConfig(options.maxSize, this.packed);
  }

  /** A queue as `state()` described it, ready if it was. Throws what configuring it would. */
  static restore(memory: GuestMemory, state: QueueState, options: RestoreOptions = {}): Virtqueue {
    const { maxSize, packed, inOrder } = state;
    const queue = new Virtqueue({ ...options, memory, maxSize, packed, inOrder });
    queue.size = state.size;
    queue.descTable = state.descTable;
    queue.availRing = state.availRing;
    queue.usedRing = state.usedRing;
    queue.eventIdx = state.eventIdx;
    queue.nextAvail = state.nextAvail;
    queue.nextUsed = state.nextUsed;
    queue.ready = state.ready;
    return queue;
  }

  /** What `restore` needs to go on. Chains in flight are not part of it: give them back first. */
  state(): QueueState {
    const { packed, inOrder, ready, nextAvail, nextUsed } = this;
    const { maxSize, size, eventIdx, descTable, availRing, usedRing } = this.#config;
    return {
      packed,
      inOrder,
      maxSize,
      size,
      ready,
      eventIdx,
      descTable,
      availRing,
      usedRing,
      nextAvail,
      nextUsed,
    };
  }

  /** True while the queue is ready and its ring serves: in memory, and not given up for a fault. */
  isValid(): boolean {
    return this.#ring !== undefined && this.#ring.fault() === 0;
  }

  /** As it was constructed. Chains in flight are void. */
  reset(): void {
    this.#stop();
    this.#config = new QueueConfig(this.#config.maxSize, this.packed);
  }

  get maxSize(): number {
    return this.#config.maxSize;
  }

  get size(): number {
    return this.#config.size;
  }

  /** Throws INVALID_SIZE; READY, as all that configures a ready queue. */
  set size(size: number) {
    this.#configurable().size = size;
  }

  get descTable(): bigint {
    return this.#config.descTable;
  }

  /** Throws INVALID_DESC_TABLE_ALIGN: it must be at a multiple of 16. */
  set descTable(address: bigint) {
    this.#configurable().descTable = address;
  }

  get availRing(): bigint {
    return this.#config.availRing;
  }

  /** The driver's event suppression of a packed ring. Throws INVALID_AVAIL_RING_ALIGN: it must be
   *  at a multiple of 2, packed: 4. */
  set availRing(address: bigint) {
    this.#configurable().availRing = address;
  }

  get usedRing(): bigint {
    return this.#config.usedRing;
  }

  /** The device's event suppression of a packed ring. Throws INVALID_USED_RING_ALIGN: it must be at
   *  a multiple of 4. */
  set usedRing(address: bigint) {
    this.#configurable().usedRing = address;
  }

  get eventIdx(): boolean {
    return this.#config.eventIdx;
  }

  /** VIRTIO_F_RING_EVENT_IDX was negotiated. */
  set eventIdx(enabled: boolean) {
    this.#configurable().eventIdx = enabled;
  }

  get ready(): boolean {
    return this.#ring !== undefined;
  }

  /** Starts and stops the queue. Chains in flight are void once it is stopped. Starting throws
   *  RING_OUTSIDE_MEMORY, INVALID_POSITION or INFLIGHT_AREA. */
  set ready(ready: boolean) {
    if (ready && this.#ring === undefined) {
      this.#start();
    } else if (!ready) {
      this.#stop();
    }
  }

  /** Another memory from here on, the ring in it at the same addresses. Throws IN_FLIGHT, and
   *  RING_OUTSIDE_MEMORY after which the queue has the former one still. */
  setMemory(memory: GuestMemory): void {
    const result = this.#ring?.move(memory.id) ?? 0;
    if (result === EBUSY) {
      throw new QueueError('IN_FLIGHT');
    }
    if (result !== 0) {
      throw new QueueError('RING_OUTSIDE_MEMORY');
    }
    this.#memory = memory;
  }

  /** How far the driver is: `idx` of the available ring; of a packed ring the place behind its last
   *  available descriptor. */
  availIdx(): number {
    return this.#started().availIndex();
  }

  /** How far the driver sees us: `idx` of the used ring as memory has it; of a packed ring the
   *  place behind the last used descriptor. */
  usedIdx(): number {
    return this.#started().usedIndex();
  }

  /** Where the next chain is popped. */
  get nextAvail(): number {
    return this.#ring?.nextAvail() ?? this.#config.nextAvail;
  }

  /** Throws INVALID_POSITION, also for a place of a packed ring that is behind `nextUsed` (going
   *  back, set that first); IN_FLIGHT while chains are out. */
  set nextAvail(position: number) {
    this.#seek(position, this.nextUsed);
  }

  /** Where the next used element goes. */
  get nextUsed(): number {
    return this.#ring?.nextUsed() ?? this.#config.nextUsed;
  }

  /** Throws INVALID_POSITION; IN_FLIGHT while chains are out. */
  set nextUsed(position: number) {
    this.#seek(this.nextAvail, position);
  }

  /** Chains popped and not given back. */
  get inFlightCount(): number {
    return this.#started().inFlightCount();
  }

  /** The next chain, or undefined when the driver has offered no more (or so much is in flight that
   *  the rest has to wait). Throws what is wrong with the ring; it serves no more then. */
  popDescriptorChain(): DescriptorChain | undefined {
    return this.#pop(1) === 0 ? undefined : this.chainOf(this.#batch, 0);
  }

  /** The chains available now, popped one by one as the loop comes to them. */
  *chains(): IterableIterator<DescriptorChain> {
    for (let left = answer(this.#started().available()); left > 0; left--) {
      const chain = this.popDescriptorChain();
      if (chain === undefined) {
        return;
      }
      yield chain;
    }
  }

  [Symbol.iterator](): IterableIterator<DescriptorChain> {
    return this.chains();
  }

  /** The batch face: up to `max` chains (at most 256) in one call and without an object for each.
   *  The batch is valid until the next pop. Throws as popDescriptorChain; chains before a fault
   *  come first. */
  popBatch(max = REQUESTS_MAX): Batch {
    this.#batch.count = this.#pop(max);
    return this.#batch;
  }

  /** A chain of the batch as an object, for what the header does not tell. */
  chainOf(batch: Batch, index: number): DescriptorChain {
    if (this.#backend === undefined) {
      throw new QueueError('NOT_READY');
    }
    return new DescriptorChain(this.#backend, {
      chain: ((this.index << 16) | batch.chain(index)) >>> 0,
      readableBytes: batch.readableBytes(index),
      writableBytes: batch.writableBytes(index),
    });
  }

  /** Undoes the last pop whose chain is still out; that chain is void and will be popped again.
   *  Throws NOT_IN_FLIGHT when a chain popped later was given back, or an inflight area has it. */
  goToPreviousPosition(): void {
    if (!this.#started().goToPrevious()) {
      throw new QueueError('NOT_IN_FLIGHT', 'nothing that could be popped again');
    }
  }

  /** Gives one chain back to the driver. Throws NOT_IN_FLIGHT. */
  addUsed(head: number, writtenBytes: number): void {
    this.pushUsed(head, writtenBytes);
    this.publishUsed();
  }

  /** The batch face of `addUsed`: the driver sees it at `publishUsed`, or when 256 are waiting. */
  pushUsed(head: number, writtenBytes: number): void {
    if (this.#usedCount === REQUESTS_MAX) {
      this.publishUsed();
    }
    const at = this.#usedCount++ * USED_WORDS;
    this.#used[at] = head;
    this.#used[at + 1] = writtenBytes;
  }

  /** Shows the driver what was pushed, at once. Throws NOT_IN_FLIGHT; what was pushed before that
   *  chain has gone back, what was pushed after it has not. */
  publishUsed(): void {
    const count = this.#usedCount;
    this.#usedCount = 0;
    if (count > 0) {
      const added = answer(this.#started().addUsed(count));
      if (added < count) {
        throw new QueueError('NOT_IN_FLIGHT', `head ${this.#used[added * USED_WORDS]}`);
      }
    }
  }

  /** Asks the driver for kicks. True when chains came meanwhile, for which none will be sent. */
  enableNotification(): boolean {
    return this.#started().enableNotification();
  }

  /** Tells the driver that kicks are not needed; it may send some all the same. */
  disableNotification(): void {
    this.#started().disableNotification();
  }

  /** Whether the driver wants to be called for what was given back since the last question, which
   *  is then taken as answered: the next asks about what comes later. */
  needsNotification(): boolean {
    return this.#started().needsNotification();
  }

  #started(): OwnedQueue {
    if (this.#ring === undefined) {
      throw new QueueError('NOT_READY');
    }
    return this.#ring;
  }

  #configurable(): QueueConfig {
    if (this.#ring !== undefined) {
      throw new QueueError('READY');
    }
    return this.#config;
  }

  #start(): void {
    const { size, descTable, availRing, usedRing, nextAvail, nextUsed, eventIdx } = this.#config;
    const { addresses = 'guest', headerBytes = DEFAULT_HEADER_BYTES, inflight } = this.#options;
    const ring = new native.OwnedQueue(this.#requests, this.#used);
    const result = ring.start(
      this.#memory.id,
      size,
      descTable,
      availRing,
      usedRing,
      nextAvail,
      nextUsed,
      (eventIdx ? MODE_EVENT_IDX : 0) |
        (this.packed ? MODE_PACKED : 0) |
        (this.inOrder ? MODE_IN_ORDER : 0) |
        (addresses === 'guest' ? MODE_GUEST_ADDRESSES : 0),
      headerBytes,
      inflight?.id ?? NO_INFLIGHT,
      this.index,
    );
    if (result !== 0) {
      throw new QueueError(startError(result));
    }
    this.#ring = ring;
    this.#usedCount = 0;
    this.#backend = {
      copyOut: (chain, offset, to, bytes) =>
        copied(ring.copyOut(chain & HEAD_MASK, offset, to, 0, bytes)),
      copyIn: (chain, offset, from, bytes) =>
        copied(ring.copyIn(chain & HEAD_MASK, offset, from, 0, bytes)),
      complete: (chain, usedBytes) => this.#complete(ring, chain & HEAD_MASK, usedBytes),
      // All are kept: nobody completes them for their owner.
      keep: () => {},
    };
  }

  /** Chains of a former life of the queue are void: their heads mean others by now. */
  #complete(ring: OwnedQueue, head: number, usedBytes: number): void {
    if (ring !== this.#ring) {
      throw new QueueError('NOT_IN_FLIGHT', `head ${head} of a queue that was stopped`);
    }
    this.addUsed(head, usedBytes);
  }

  #stop(): void {
    if (this.#ring !== undefined) {
      this.#config.nextAvail = this.#ring.nextAvail();
      this.#config.nextUsed = this.#ring.nextUsed();
      this.#ring.close();
      this.#ring = this.#backend = undefined;
    }
  }

  #seek(nextAvail: number, nextUsed: number): void {
    this.#config.nextAvail = nextAvail;
    this.#config.nextUsed = nextUsed;
    const result = this.#ring?.seek(nextAvail, nextUsed) ?? 0;
    if (result !== 0) {
      throw new QueueError(result === EBUSY ? 'IN_FLIGHT' : 'INVALID_POSITION');
    }
  }

  #pop(max: number): number {
    return answer(this.#started().pop(max));
  }
}

/** A count of the native side, or the fault it stands for as an error. */
function answer(count: number): number {
  if (count < 0) {
    throw new QueueError(codeOfFault(-count) ?? 'INVALID_CHAIN', exchange.RING_FAULTS[-count]);
  }
  return count;
}

function copied(bytes: number): number {
  if (bytes < 0) {
    throw new QueueError('NOT_IN_FLIGHT');
  }
  return bytes;
}

function startError(errno: number): QueueErrorCode {
  if (errno === EFAULT) {
    return 'RING_OUTSIDE_MEMORY';
  }
  return errno === EBADMSG ? 'INFLIGHT_AREA' : 'INVALID_POSITION';
}
