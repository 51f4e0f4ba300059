// The trait: what a virtio device must and may implement. It has two halves. The control half
// (`VirtioDevice`) answers features and config space on the control thread; the data half
// (`QueueHandler`) is made in each worker from a module of its own and decides requests there.

import type { Batch } from './virtqueue/batch.js';
import type { CommandWriter } from './virtqueue/command-writer.js';

/** What SET_CONFIG is for (vhost-user: SET_CONFIG flags). */
export type ConfigWriteReason = 'driver' | 'migration';

/** Where the data half of a device comes from. It crosses a thread: plain data only. */
export interface DataHalf {
  /** URL of a module that exports `handlerFactory: HandlerFactory`. */
  readonly moduleUrl: string;
  /** Handed to `HandlerFactory.create`, cloned. */
  readonly options: unknown;
}

/** What a device may do to the session it is connected through. */
export interface DeviceHost {
  /** Tells the driver that config space changed (vhost-user: CONFIG_CHANGE_MSG); a no-op before
   *  the front-end gave us its channel. */
  configChanged(): void;
  /** Hands a message to the data half in every worker, in order; resolves when all took it. */
  tellHandlers(message: unknown): Promise<void>;
}

export interface VirtioDevice {
  /** Short name for logs: 'blk'. */
  readonly name: string;
  /** VIRTIO 1.3 §5: device type. */
  readonly virtioId: number;

  /** Virtqueues the device has; GET_QUEUE_NUM answers it. */
  numQueues(): number;
  /** Largest ring a driver may set up, a power of two <= 32768. */
  maxQueueSize(): number;
  /** Virtio feature bits offered, the ring's included. VHOST_USER_F_PROTOCOL_FEATURES is added. */
  features(): bigint;
  /** Protocol features this device can serve beyond the framework's own. */
  protocolFeatures(): bigint;
  dataHalf(): DataHalf;

  /** The driver's choice, a subset of `features()`; may come again, also while rings run. */
  ackedFeatures?(features: bigint): Promise<void>;
  /** Config space bytes [offset, offset + size); shorter where it ends, the rest reads as zero. */
  getConfig?(offset: number, size: number): Uint8Array;
  /** Throws to refuse (a read-only field, a bad value). */
  setConfig?(offset: number, bytes: Uint8Array, reason: ConfigWriteReason): Promise<void>;
  /** The first vring is about to run. Throws VhostUserError to refuse. */
  acquire?(): Promise<void>;
  /** No vring runs any more, and nothing is in flight: what one back-end at a time may have can go
   *  to the next, in a live migration. May come without acquire(). Throws VhostUserError. */
  release?(): Promise<void>;
  /** Back to the state after start-up: the driver or the connection is gone. Rings are stopped. */
  resetDevice?(): Promise<void>;
  /** One mask of queue indices for each worker; queues in no mask go to worker 0. */
  queuesPerThread?(workers: number): bigint[];
  /** Called once, before any session. */
  attach?(host: DeviceHost): void;
  /** Whoever made the device calls it, after the daemon has ended. */
  close?(): void;
}

/** What a data half may do with the native data plane: no pointer, no guest address. */
export interface HandlerContext {
  readonly options: unknown;
  readonly commands: CommandWriter;
  /** Makes a file known by a small index (0..15); directAlign 0 means page cache. */
  addFile(index: number, fd: number, directAlign: number): void;
  /** Copies from the readable part of a chain in flight; the bytes copied. */
  copyOut(chain: number, offset: number, to: Uint8Array, bytes: number): number;
  /** Copies into the writable part of a chain in flight; the bytes copied. */
  copyIn(chain: number, offset: number, from: Uint8Array, bytes: number): number;
}

/** Decides what to do with requests. Called on the worker's thread, never concurrently; blocks
 *  nothing: asynchronous work of Node's (timers, promises) does not run in a worker. */
export interface QueueHandler {
  /** New requests; each must end in a command that completes its chain, now or later. */
  requests(batch: Batch): void;
  /** A command that failed, or asked to be told: result is 0 or -errno. */
  completion(chain: number, tag: number, result: number): void;
  message?(message: unknown): void;
  close?(): void;
}

export interface HandlerFactory {
  /** Bytes of each request to copy into the batch, <= 48. */
  readonly headerBytes: number;
  create(context: HandlerContext): QueueHandler;
}
