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

/** Whether SET_DEVICE_STATE_FD asks for the device's state or brings it. */
export type DeviceStateDirection = 'save' | 'load';

/** Part of a file the front-end maps into a shared memory region of the device. */
export interface ShmemMapping {
  readonly shmemId: number;
  /** Offset in the region; like the two below whole pages. */
  readonly shmemOffsetBytes: bigint;
  readonly fdOffsetBytes: bigint;
  readonly lengthBytes: bigint;
  readonly writable: boolean;
}

/** A page of a file that the front-end maps as a virtqueue's doorbell. */
export interface HostNotifier {
  readonly fd: number;
  readonly offsetBytes: bigint;
  readonly sizeBytes: bigint;
}

/** Requests of the back-end to its front-end. With REPLY_ACK a promise settles with the front-end's
 *  answer, else when the message is on its way. It rejects with a VhostUserError when there is no
 *  channel, the feature was not negotiated, no virtqueue runs, or the front-end refuses or keeps
 *  silent. Descriptors stay the caller's.
 *
 *  Await none of them within a hook: a front-end may look at this channel only after it has the
 *  answer to its own request, and then each waits for the other until the time limit. */
export interface BackendRequests {
  /** GET_CONFIG must answer the new bytes already. No front-end, or none that listens, is no error;
   *  one whose virtqueues are all stopped is told when the first of them starts. */
  configChanged(): Promise<void>;
  /** Announces an object that `VirtioDevice.getSharedObject` answers for. */
  sharedObjectAdd(uuid: Uint8Array): Promise<void>;
  sharedObjectRemove(uuid: Uint8Array): Promise<void>;
  /** The object's descriptor, now the caller's; undefined when nobody has added that object. */
  sharedObjectLookup(uuid: Uint8Array): Promise<number | undefined>;
  shmemMap(mapping: ShmemMapping, fd: number): Promise<void>;
  /** Takes back one whole mapping. */
  shmemUnmap(
    mapping: Pick<ShmemMapping, 'shmemId' | 'shmemOffsetBytes' | 'lengthBytes'>,
  ): Promise<void>;
  /** Without notifier the earlier one is taken back. */
  hostNotifier(queue: number, notifier: HostNotifier | undefined): Promise<void>;
}

/** What a device may do to the session it is connected through. */
export interface DeviceHost {
  readonly backend: BackendRequests;
  /** `backend.configChanged()` whose outcome nobody wants to know. */
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
  /** Protocol features this device can serve beyond the framework's own and those that the hooks
   *  below stand for: HOST_NOTIFIER, or SHARED_OBJECT for one that only looks objects up. */
  protocolFeatures(): bigint;
  dataHalf(): DataHalf;

  /** The driver's choice, a subset of `features()`; may come again, also while rings run. */
  ackedFeatures?(features: bigint): Promise<void>;
  /** Config space bytes [offset, offset + size); shorter where it ends, the rest reads as zero. */
  getConfig?(offset: number, size: number): Uint8Array;
  /** Throws to refuse (a read-only field, a bad value). */
  setConfig?(offset: number, bytes: Uint8Array, reason: ConfigWriteReason): Promise<void>;
  /** Back to the state after start-up: the driver or the connection is gone. Rings are stopped. */
  resetDevice?(): Promise<void>;
  /** One mask of queue indices for each worker; queues in no mask go to worker 0. */
  queuesPerThread?(workers: number): bigint[];
  /** vhost-user: SEND_RARP, six bytes of a MAC address to announce to the network. */
  sendRarp?(mac: Uint8Array): Promise<void>;
  /** vhost-user: NET_SET_MTU, 68 to 65535. */
  setMtu?(mtu: number): Promise<void>;
  /** vhost-user: GET_SHARED_OBJECT; a descriptor that stays the device's, or undefined when the
   *  UUID (16 bytes) names none of its objects. */
  getSharedObject?(uuid: Uint8Array): number | undefined;
  /** vhost-user: GET_SHMEM_CONFIG; bytes of each shared memory region by its id, 0n for none. */
  getShmemConfig?(): readonly bigint[];
  /** vhost-user: GPU_SET_SOCKET; the descriptor is the device's unless the call throws. */
  setGpuSocket?(fd: number): void;
  /** vhost-user: SET_DEVICE_STATE_FD. Writes the device's private state to the descriptor, or reads
   *  it up to its end and takes it over; see `core/device-state`. All virtqueues are stopped and
   *  stay so meanwhile. The descriptor is closed when the promise settles. */
  setDeviceState?(direction: DeviceStateDirection, fd: number): Promise<void>;
  /** vhost-user: CHECK_DEVICE_STATE after a transfer that went well; throws for a state that can't
   *  be used after all. */
  checkDeviceState?(): Promise<void>;
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
