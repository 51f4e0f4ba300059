// The only file that loads the addon, and the only one that names the types of its functions.
// Functions answer a value or -errno; `check` turns the latter into an error.

import { createRequire } from 'node:module';

export * from './errno.js';
export * as exchange from './exchange.js';

/** A guest memory, by number: numbers cross threads. */
export type MemoryId = number;

/** An inflight area, in the same way. */
export type InflightId = number;
/** Stands for "requests are not recorded". */
export const NO_INFLIGHT: InflightId = 0;
/** A dirty log, by number. */
export type LogId = number;
export const NO_LOG: LogId = 0;

export const READABLE = 1;
export const WRITABLE = 2;

export const FD_KINDS = ['other', 'eventfd', 'regular', 'socket', 'pipe', 'block device'] as const;
export type FdKind = (typeof FD_KINDS)[number];

/** Bits of the addressing of a vring: I/O addresses; guest addresses instead of the front-end's. */
export const ADDRESSING_IO = 1;
export const ADDRESSING_GUEST = 2;

/** Readiness of a descriptor on this thread's event loop; close it before the descriptor. */
export interface Watcher {
  watch(events: number): number;
  close(): void;
}

/** native/core/data-plane.h, owned by one worker thread. */
export interface DataPlane {
  turn(commandCount: number, mayBlock: boolean): number;
  addFile(index: number, fd: number, directAlign: number): number;
  startVring(
    queue: number,
    size: number,
    descriptor: bigint,
    available: bigint,
    used: bigint,
    availBase: number,
    eventIdx: boolean,
    kickFd: number,
    callFd: number,
    errFd: number,
    memory: MemoryId,
    inflight: InflightId,
    packed: boolean,
    addressing: number,
    areaQueue: number,
    inOrder: boolean,
    readOnly: boolean,
  ): number;
  enableVring(queue: number, enabled: boolean): void;
  setInband(queue: number, kicks: boolean, calls: boolean): void;
  askKicks(queue: number, asked: boolean): void;
  paceCalls(queue: number, packets: number, us: number): void;
  setCall(queue: number, fd: number): void;
  setErr(queue: number, fd: number): void;
  drainVring(queue: number, suspend: boolean): void;
  endVring(queue: number): number;
  inFlight(queue: number): number;
  inFlightTotal(firstQueue: number, lastQueue: number): number;
  setLog(log: LogId, data: boolean, firstQueue: number, lastQueue: number): void;
  setUsedLog(queue: number, on: boolean, address: bigint): void;
  hold(held: boolean, firstQueue: number, lastQueue: number): void;
  changeMemory(memory: MemoryId, firstQueue: number, lastQueue: number): number;
  changeTranslations(
    memory: MemoryId,
    first: bigint,
    last: bigint,
    firstQueue: number,
    lastQueue: number,
  ): void;
  limitTurn(bytes: number): void;
  translationsSettled(): boolean;
  missingAddress(queue: number): bigint;
  copyOut(chain: number, offset: number, to: Uint8Array, at: number, bytes: number): number;
  copyIn(chain: number, offset: number, from: Uint8Array, at: number, bytes: number): number;
  /** OP_SEND or OP_RECEIVE at once: bytes moved or -errno. */
  move(
    code: number,
    chain: number,
    flags: number,
    fd: number,
    bytes: number,
    offset: number,
  ): number;
  /** One receive into `count` chains: bytes received or -errno. */
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
  /** For commands with FLAG_ARENA. */
  setArena(bytes: Uint8Array): void;
  /** native/core/frame-flow.h: chains of a queue go to a shelf in the arena. 0 or -errno. */
  keepChains(queue: number, shelfOffset: number, counts: Float64Array): number;
  /** Frames of a queue go where flows in the arena say. 0 or -errno. */
  forwardFrames(queue: number, flowsOffset: number, counts: Float64Array): number;
  /** native/core/frame-capture.h: where frames that are shown go. */
  setCapture(memory: Uint8Array): number;
  /** Shows a frame: bytes of `prefix`, then a part of a chain's readable side. */
  capture(
    tag: number,
    prefix: Uint8Array,
    prefixOffset: number,
    prefixBytes: number,
    chain: number,
    offset: number,
    bytes: number,
  ): void;
  watch(fd: number, token: number, writable: boolean): number;
  unwatch(token: number): void;
  giveUp(queue: number): void;
  requestCount(queue: number): number;
  callCount(queue: number): number;
  close(): void;
}

/** native/core/owned-queue.h. Counts below zero are -RingFault. */
export interface OwnedQueue {
  /** 0 or -errno. Mode: 1 event index, 2 packed, 4 in order, 8 ring at guest addresses. */
  start(
    memory: MemoryId,
    size: number,
    descriptor: bigint,
    available: bigint,
    used: bigint,
    nextAvail: number,
    nextUsed: number,
    mode: number,
    headerBytes: number,
    inflight: InflightId,
    queue: number,
  ): number;
  pop(max: number): number;
  addUsed(count: number): number;
  goToPrevious(): boolean;
  available(): number;
  fault(): number;
  seek(nextAvail: number, nextUsed: number): number;
  move(memory: MemoryId): number;
  enableNotification(): boolean;
  disableNotification(): void;
  needsNotification(): boolean;
  availIndex(): number;
  usedIndex(): number;
  nextAvail(): number;
  nextUsed(): number;
  inFlightCount(): number;
  copyOut(head: number, offset: number, to: Uint8Array, at: number, bytes: number): number;
  copyIn(head: number, offset: number, from: Uint8Array, at: number, bytes: number): number;
  close(): void;
}

interface Addon {
  memoryCreate(): MemoryId;
  memoryWith(
    memory: MemoryId,
    fd: number,
    guestAddress: bigint,
    userAddress: bigint,
    sizeBytes: bigint,
    mmapOffset: bigint,
  ): number;
  memoryWithout(
    memory: MemoryId,
    guestAddress: bigint,
    userAddress: bigint,
    sizeBytes: bigint,
    mmapOffset: bigint,
  ): number;
  memoryWithTranslation(
    memory: MemoryId,
    iova: bigint,
    sizeBytes: bigint,
    target: bigint,
    permissions: number,
    targetIsGuest: boolean,
  ): number;
  memoryWithoutTranslations(memory: MemoryId, first: bigint, last: bigint): MemoryId;
  memoryHostAddress(memory: MemoryId, guestAddress: bigint): bigint;
  userfaultCreate(): number;
  userfaultRegister(fd: number, memory: MemoryId): number;
  userfaultUnregister(fd: number, memory: MemoryId): void;
  memoryRelease(memory: MemoryId): void;
  memoryRegionCount(memory: MemoryId): number;
  memoryHoldsUser(memory: MemoryId, userAddress: bigint, bytes: bigint): boolean;
  inflightBytes(packed: boolean, queueCount: number, queueSize: number): number;
  inflightCreate(packed: boolean, queueCount: number, queueSize: number): number;
  inflightMap(
    fd: number,
    sizeBytes: bigint,
    mmapOffset: bigint,
    queueCount: number,
    queueSize: number,
  ): number;
  inflightRelease(inflight: InflightId): void;
  logMap(fd: number, sizeBytes: bigint, offsetBytes: bigint): number;
  logWithSignal(log: LogId, fd: number): LogId;
  logCovers(log: LogId, guestAddress: bigint, bytes: bigint): boolean;
  logCoversMemory(log: LogId, memory: MemoryId): boolean;
  logRelease(log: LogId): void;
  mapShared(fd: number, offset: number, bytes: number): ArrayBuffer | number;
  fdClose(fd: number): number;
  fdDuplicate(fd: number): number;
  fdKind(fd: number): number;
  fdSetNonBlocking(fd: number): void;
  eventfdCreate(initial: number): number;
  eventfdSignal(fd: number): number;
  eventfdRead(fd: number): number;
  /** A timerfd on the monotonic clock, for a worker's `watch`: timers of Node's don't run there. */
  timerCreate(): number;
  /** Expires after `firstMs` (0: disarmed), then every `intervalMs` (0: once). */
  timerArm(fd: number, firstMs: number, intervalMs: number): number;
  memfdCreate(name: string, bytes: number): number;
  fileLock(fd: number, exclusive: boolean, start: number, bytes: number): number;
  fileUnlock(fd: number, start: number, bytes: number): number;
  fileProbeLock(fd: number, exclusive: boolean, start: number, bytes: number): number;
  blockDevice(fd: number): { readonly bytes: number; readonly logicalBlockBytes: number };
  fileDirectAlignment(fd: number): number;
  socketListen(path: string, backlog: number): number;
  socketConnect(path: string): number;
  socketAccept(fd: number): number;
  socketPair(out: Int32Array): number;
  socketReceive(fd: number, to: Uint8Array, offset: number, bytes: number, fds: Int32Array): number;
  socketSend(
    fd: number,
    from: Uint8Array,
    offset: number,
    bytes: number,
    fds: Int32Array,
    fdCount: number,
  ): number;
  /** A datagram socket, bound to a path or ('') to none. */
  datagramBind(path: string): number;
  datagramConnect(fd: number, path: string): number;
  socketShutdown(fd: number): number;
  socketIsListening(fd: number): number;
  /** Sockets of a device's own, on the host. Types: SOCK_STREAM, SOCK_SEQPACKET. */
  hostListen(path: string, type: number, backlog: number): number;
  hostConnect(path: string, type: number): number;
  /** TCP. The address is in figures, never a name. */
  hostListenTcp(address: string, port: number, backlog: number): number;
  /** These two go on in the background: ask `hostConnected` once the socket is writable. */
  hostConnectTcp(address: string, port: number): number;
  hostConnectVsock(cid: number, port: number, type: number): number;
  /** AF_VSOCK, from any CID. */
  hostListenVsock(port: number, type: number, backlog: number): number;
  /** `out` gets both ends of a pair, connected to each other. */
  hostPair(type: number, out: Int32Array): number;
  /** 0, -EINPROGRESS or another -errno. */
  hostConnected(fd: number): number;
  hostAccept(fd: number): number;
  hostSend(fd: number, from: Uint8Array, offset: number, bytes: number): number;
  /** The length of a whole message, even if it is cut. Peeking leaves it where it is. */
  hostReceive(fd: number, to: Uint8Array, offset: number, bytes: number, peek: boolean): number;
  /** How: SHUT_RD, SHUT_WR or SHUT_RDWR. */
  hostShutdown(fd: number, how: number): number;
  /** Room for messages of so many bytes, as far as the kernel allows. */
  hostSetSendBytes(fd: number, bytes: number): number;
  /** `/bin/sh -c command` with a socket of ours as its standard input and output; `out` gets its
   *  number, a descriptor that is readable once it has ended, and our end of the socket. */
  childStart(command: string, type: number, out: Int32Array): number;
  /** To its whole process group; only before it is taken. */
  childSignal(pid: number, signal: number): number;
  /** 1 when it has ended and is taken, 0 when it runs. */
  childTake(pid: number): number;
  /** native/core/frame-filter.h: whether a frame passes a table. */
  framePasses(table: Uint32Array, frame: Uint8Array, offset: number, bytes: number): boolean;
  /** native/core/frame-hash.h: makes the windows of a table out of its key. */
  frameHashPrepare(table: Uint8Array): void;
  /** Hash of a frame, how it was found (0: it has none), and its queue, into three words. */
  frameHash(
    table: Uint8Array,
    frame: Uint8Array,
    offset: number,
    bytes: number,
    to: Uint32Array,
  ): void;
  /** native/core/segmenter.h: cuts a frame as its header asks, and writes each segment behind its
   *  length, four bytes big-endian. Bytes written, or needed if there is less room; 0: header and
   *  frame do not belong together. */
  frameSegment(
    header: Uint32Array,
    frame: Uint8Array,
    offset: number,
    bytes: number,
    to: Uint8Array,
    toOffset: number,
    room: number,
  ): number;
  /** native/core/tap.h. A descriptor, or -errno. */
  tapOpen(name: string, multiQueue: boolean, headerBytes: number): number;
  tapAdopt(fd: number, headerBytes: number): number;
  tapSetPersistent(fd: number, persistent: boolean): number;
  tapSetOffload(fd: number, offload: number): number;
  tapSetQueue(fd: number, attached: boolean): number;
  /** The Ethernet address of the interface, six bytes. */
  tapAddress(fd: number, to: Uint8Array): number;
  tapSetAddress(fd: number, address: Uint8Array): number;
  Watcher: new (fd: number, ready: (events: number) => void) => Watcher;
  DataPlane: new (
    exchange: Uint8Array,
    uring: boolean,
    wakeFd: number,
    pollUs: number,
    operationPollUs: number,
    headerBytes: number,
  ) => DataPlane;
  /** Tables of request records and of used records (head, written bytes: two words each). */
  OwnedQueue: new (
    records: Uint32Array,
    used: Uint32Array,
  ) => OwnedQueue;
  exchangeLayout: Readonly<Record<string, number>>;
}

/** Where a build leaves the addon, seen from dist/bundle and from dist/src/native. */
const PLACES = ['../../build/Release/vhost_ts.node', '../../../build/Release/vhost_ts.node'];

function load(): Addon {
  const require = createRequire(import.meta.url);
  let failure: unknown;
  for (const place of PLACES) {
    try {
      return require(place) as Addon;
    } catch (error) {
      // One that is there and does not load says more than one that is not there.
      failure ??= (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' ? undefined : error;
    }
  }
  throw new Error('the native module is not built: run `npm run setup`', { cause: failure });
}

export const native: Addon = load();

export function fdKind(fd: number): FdKind {
  return FD_KINDS[native.fdKind(fd)] ?? 'other';
}
