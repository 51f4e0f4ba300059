// The trait: what a virtio device must and may implement. It has two halves. The control half
// (`VirtioDevice`) answers features, config space and the front-end's requests on the control
// thread; the data half (`QueueHandler`) is made in each worker from a module of its own and
// decides requests there. Only the first seven members are required: what is left out has the
// default its comment names.
//
// Errors: a control method refuses by throwing a VhostUserError, whose code's row says whether the
// session survives; any other error is a bug of the device and ends the session. A data half that
// throws stops its queues on that worker, never the process.

import type { Batch } from './virtqueue/batch.js';
import type { CommandWriter } from './virtqueue/command-writer.js';

/** What SET_CONFIG is for (vhost-user: SET_CONFIG flags). */
export type ConfigWriteReason = 'driver' | 'migration';

/** Where device state goes (vhost-user: SET_DEVICE_STATE_FD direction). */
export type DeviceStateDirection = 'save' | 'load';

/** Where the data half of a device comes from. It crosses a thread: plain data only. */
export interface DataHalf {
  /** URL of a module that exports `handlerFactory: HandlerFactory`, or `device`. */
  readonly moduleUrl: string;
  /** Name of a device among the module's exports, which has the `handlerFactory` then. */
  readonly device?: string;
  /** Handed to `HandlerFactory.create`, cloned. */
  readonly options: unknown;
}

/** A range of a shared memory region and the file behind it (vhost-user: SHMEM_MAP). Offsets and
 *  lengths in bytes, multiples of the page. */
export interface ShmemMapping {
  readonly shmemId: number;
  readonly shmemOffsetBytes: bigint;
  readonly lengthBytes: bigint;
  readonly fdOffsetBytes: bigint;
  readonly writable: boolean;
}

/** A page the driver may use as a vring's doorbell (vhost-user: VRING_HOST_NOTIFIER_MSG). */
export interface NotifierArea {
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
  hostNotifier(queue: number, notifier: NotifierArea | undefined): Promise<void>;
}

/** What a device may do to the session it is connected through. Lives as long as the daemon; with
 *  no session, or none that has what is asked, requests are refused and nothing breaks. */
export interface DeviceHost {
  /** `backend.configChanged()` whose outcome nobody wants to know. */
  configChanged(): void;
  /** Hands a message to the data half in every worker, in order; resolves when all took it. */
  tellHandlers(message: unknown): Promise<void>;
  readonly backend: BackendRequests;
}

/** What the control half may know of guest memory: no address and no pointer. */
export interface MemoryUpdate {
  readonly regionCount: number;
}

export interface VirtioDevice {
  /** Short name for logs: 'blk'. */
  readonly name: string;
  /** VIRTIO 1.3 §5: device type. */
  readonly virtioId: number;

  /** Virtqueues the device has, 1 to 256, the same at every call. */
  numQueues(): number;
  /** What GET_QUEUE_NUM answers, for a device whose front-ends count otherwise. Default:
   *  numQueues(). */
  queueNumAnswer?(): number;
  /** Largest ring a driver may set up, in descriptors: a power of two <= 32768 (VIRTIO 1.3 §2.7);
   *  SET_VRING_NUM beyond it is refused. */
  maxQueueSize(): number;
  /** Whether the device only reads the buffers of a virtqueue, as a card those it is to transmit:
   *  then all of them are readable, whatever their descriptors say, and nothing can be written into
   *  a chain. Default: no. */
  readsOnly?(queue: number): boolean;
  /** Virtio feature bits offered, the ring's included. VHOST_USER_F_PROTOCOL_FEATURES is added. */
  features(): bigint;
  /** Protocol features this device can serve beyond the framework's own and those that the hooks
   *  below stand for: HOST_NOTIFIER, or SHARED_OBJECT for one that only looks objects up. */
  protocolFeatures(): bigint;
  dataHalf(): DataHalf;

  /** The driver's choice, a subset of `features()`; may come again, also while rings run. Throws
   *  FEATURE_DEPENDENCY, FEATURE_REQUIRED, … to refuse; the former choice stays. Default: not
   *  told. */
  ackedFeatures?(features: bigint): Promise<void>;
  /** Whether the driver took VIRTIO_F_RING_EVENT_IDX (VIRTIO 1.3 §2.7.7), after each SET_FEATURES.
   *  Rings follow it by themselves; this is for a device that tunes by it. Default: not told. */
  setEventIdx?(enabled: boolean): void;
  /** The first vring is about to run. Throws VhostUserError to refuse. Default: nothing to take. */
  acquire?(): Promise<void>;
  /** No vring runs any more, and nothing is in flight: what one back-end at a time may have can go
   *  to the next, in a live migration. May come without acquire(). Throws VhostUserError. Default:
   *  nothing to give back. */
  release?(): Promise<void>;
  /** Back to the state after start-up: the driver or the connection is gone. Rings are stopped.
   *  Default: nothing to forget. */
  resetDevice?(): Promise<void>;

  /** Config space bytes [offset, offset + size), little-endian fields; shorter where it ends, the
   *  rest reads as zero. Default: no config space, all zero. */
  getConfig?(offset: number, size: number): Uint8Array;
  /** A write to config space. Throws CONFIG_READ_ONLY or PAYLOAD_VALUE to refuse; by default every
   *  write is. 'migration' may also set what the driver may not. */
  setConfig?(offset: number, bytes: Uint8Array, reason: ConfigWriteReason): Promise<void>;

  /** Guest memory was changed (SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG); every worker uses the new
   *  one already and nothing uses the old one. Default: not told. */
  updateMemory?(memory: MemoryUpdate): void;
  /** The front-end gave its channel (SET_BACKEND_REQ_FD): `DeviceHost.backend` reaches it from now
   *  to the end of the session. Default: not told. */
  backendChannelOpened?(): void;

  /** One mask of queue indices for each worker; queues in no mask go to worker 0. Default: dealt
   *  one after another. */
  queuesPerThread?(workers: number): bigint[];
  /** A descriptor, the device's, that ends a worker when it becomes readable (an eventfd as a
   *  rule); asked once for each worker. A worker that ends takes the daemon with it: rings are
   *  drained, `Daemon.run` resolves. Default: none, the daemon ends by `stop()`. */
  exitEvent?(worker: number): number | undefined;

  /** The descriptor of the object of that UUID (16 bytes, RFC 4122 order), borrowed by the
   *  framework, which duplicates it; undefined: there is none. Default: no objects
   *  (vhost-user: GET_SHARED_OBJECT). */
  getSharedObject?(uuid: Uint8Array): number | undefined;
  /** The socket a GPU device talks to its display on, from now on the device's
   *  (vhost-user: GPU_SET_SOCKET). Default: UNSUPPORTED. */
  setGpuSocket?(fd: number): void;
  /** Writes the whole internal state to `fd`, or reads it from there, to the end of the file. The
   *  device owns `fd` until the promise settles, then the framework closes it. The reply does not
   *  wait for it, so I/O must be asynchronous. All rings are stopped. Default: UNSUPPORTED
   *  (vhost-user: SET_DEVICE_STATE_FD). */
  setDeviceState?(direction: DeviceStateDirection, fd: number): Promise<void>;
  /** Called after the transfer ended well; throws when what came can't be used. The front-end
   *  learns that it failed, not why. Default: a transfer that ended well is good
   *  (vhost-user: CHECK_DEVICE_STATE). */
  checkDeviceState?(): Promise<void>;
  /** Sizes in bytes of the device's shared memory regions, by shmid; 0n for an unused id. Default:
   *  none (vhost-user: GET_SHMEM_CONFIG, VIRTIO 1.3 §2.10). */
  getShmemConfig?(): readonly bigint[];
  /** After a migration: broadcast a RARP for this MAC (6 bytes). Default: UNSUPPORTED
   *  (vhost-user: SEND_RARP). */
  sendRarp?(mac: Uint8Array): Promise<void>;
  /** The MTU the front-end was configured with, in bytes; throws PAYLOAD_VALUE to refuse. Default:
   *  UNSUPPORTED (vhost-user: NET_SET_MTU). */
  setMtu?(mtu: number): Promise<void>;

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
  /** Private memory that commands may name with FLAG_ARENA; pinned as long as the worker lives. */
  useArena(bytes: Uint8Array): void;
  /** Copies from the readable part of a chain in flight; the bytes copied. */
  copyOut(chain: number, offset: number, to: Uint8Array, bytes: number): number;
  /** Copies into the writable part of a chain in flight; the bytes copied. */
  copyIn(chain: number, offset: number, from: Uint8Array, bytes: number): number;
  /**
   * One attempt to move bytes between a descriptor and a chain in flight, over when it returns: for
   * a device whose next decision depends on how much went. Codes and flags as for
   * `CommandWriter.move`; the chain stays open.
   *
   * @returns bytes moved, or -errno
   */
  move(
    code: number,
    chain: number,
    flags: number,
    fd: number,
    bytes: number,
    chainOffset: number,
  ): number;
  /** Chains of a queue are not handed to `requests` any more but put on a shelf at `shelfOffset` in
   *  the arena (native/core/frame-flow.h), of which the handler or a flow takes them; only those
   *  that come while the queue drains are. Frames into them are counted in `counts`, pinned as long
   *  as the worker lives. Throws when the arena has no shelf there. */
  keepChains(queue: number, shelfOffset: number, counts: Float64Array): void;
  /** Frames of a queue go where the flows at `flowsOffset` in the arena say, and are counted in
   *  `counts`; only those that no flow speaks for, and those behind one of them, are handed to
   *  `requests`. Flows may be written and taken back at any time. */
  forwardFrames(queue: number, flowsOffset: number, counts: Float64Array): void;
  /** Frames shown from now on go into this ring (native/core/frame-capture.h), for another thread
   *  to read; pinned as long as the worker lives. Throws for memory that is none. */
  useCapture(ring: Uint8Array): void;
  /** Shows a frame under a tag other than 0: `prefix`, then `bytes` of the readable part of a chain
   *  in flight from `offset` on (NO_CHAIN: nothing more). Without a ring, or room in it, nothing
   *  happens. */
  capture(tag: number, prefix: Uint8Array, chain: number, offset: number, bytes: number): void;
  /** Readable bytes of one queue after which a turn takes no more of its requests. Default: no
   *  limit. */
  limitTurn(bytes: number): void;
  /** Whether the driver is to kick for new chains of a vring (at its start: yes). A device that has
   *  enough of them to go on with saves the driver's kicks and its own wake-ups: what is new comes
   *  with the next turn there is. */
  askKicks(queue: number, asked: boolean): void;
  /** Calls of a vring are held back until so many buffers were used, but no longer than `us`; 0 us
   *  (as each starts): no call waits. 0 packets: only time counts. */
  paceCalls(queue: number, packets: number, us: number): void;
  /**
   * One receive from a socket into several chains in flight of one queue, over when it returns.
   * Each that gets bytes gets a copy of `prefix` (at most 64 bytes) in front, with their number as
   * 32 bits at `lengthAt`; all are full but the last. The chains stay open.
   *
   * @param from   place in `chains` of the first
   * @param bytes  at most so many, without prefixes
   * @param whole  a message of `bytes`: -EMSGSIZE, and it stays in the socket, when the chains
   *   can't take all of it at a time
   * @returns bytes received without prefixes, or -errno
   */
  receiveScattered(
    fd: number,
    chains: Uint32Array,
    from: number,
    count: number,
    bytes: number,
    prefix: Uint8Array,
    lengthAt: number,
    whole: boolean,
  ): number;
  /** Calls `QueueHandler.again` after the next turn, which does not sleep: the driver sees what is
   *  complete while the rest is worked on. */
  callAgain(): void;
  /**
   * Calls `QueueHandler.event` with `token` (0 .. 2^24 - 1, unused until now) whenever `fd` becomes
   * readable, or if asked, writable; edge-triggered, so read it to the end. The descriptor stays
   * the device's: `unwatch` before closing it. A timerfd (`native.timerCreate`) need not be read.
   * Throws for one that can't be polled (a regular file), and beyond 65536.
   */
  watch(fd: number, token: number, writable?: boolean): void;
  /** Ends what `watch` began; unknown tokens are ignored. */
  unwatch(token: number): void;
}

/** Decides what to do with requests. Called on the worker's thread, never concurrently; blocks
 *  nothing: asynchronous work of Node's (timers, promises) does not run in a worker. */
export interface QueueHandler {
  /** New requests; each must end in a command that completes its chain, now or later. */
  requests(batch: Batch): void;
  /** A command that failed, or asked to be told: result is 0 or -errno. */
  completion(chain: number, tag: number, result: number): void;
  /** A watched descriptor became readable, or hung up: then it is no longer watched. */
  event?(token: number, hungUp: boolean): void;
  /** What `DeviceHost.tellHandlers` was given, cloned. `firstQueue`: 0, or where the queues of the
   *  device that said it begin, in a worker that serves several. */
  message?(message: unknown, firstQueue: number): void;
  /** What `HandlerContext.callAgain` asked for. */
  again?(): void;
  /** A vring starts, before its first request. resumed: where it last stopped, so that the driver
   *  is taken to be the same; fresh: at index 0, where no driver has been yet. */
  started?(queue: number, where: 'fresh' | 'resumed' | 'elsewhere'): void;
  /** A vring started, was enabled or disabled (vhost-user: SET_VRING_ENABLE), or stops: a disabled
   *  one gives no requests, and a device with something for its driver keeps it. Default: not
   *  told. */
  vringEnabled?(queue: number, enabled: boolean): void;
  /** A vring stops, or memory changes under it: no more requests of this queue come for now, and
   *  whoever waits does so until every chain of it is completed. A device that keeps chains for
   *  later (receive buffers) completes them here; what is at work ends by itself. */
  drain?(queue: number): void;
  /** Guest memory was changed while vrings run; nothing was in flight on this worker. */
  memoryUpdated?(): void;
  /** The worker ends; nothing is in flight. */
  close?(): void;
}

export interface HandlerFactory {
  /** Bytes of each request to copy into the batch, <= 48. */
  readonly headerBytes: number;
  create(context: HandlerContext): QueueHandler;
}
