// The addon from JavaScript: wrong arguments are a TypeError, never a crash (LF-015), and each
// function does to the system what its name says.

import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  errnoName,
  exchange,
  type FdKind,
  fdKind,
  native,
  READABLE,
  WRITABLE,
} from '../../src/native/index.js';
import {
  eventfd,
  memfd,
  openDescriptors,
  socketPair,
  temporaryDirectory,
} from '../support/resources.js';

type Kind =
  | 'fd'
  | 'fdOrNone'
  | 'u16'
  | 'u32'
  | 'u64'
  | 'text'
  | 'flag'
  | 'bytes'
  | 'queue'
  | 'function';

/** No such descriptor: a call that got through after all would do nothing. */
const NO_FD = 1_000_000;
const GOOD: Readonly<Record<Kind, unknown>> = {
  fd: NO_FD,
  fdOrNone: NO_FD,
  u16: 1,
  u32: 1,
  u64: 1n,
  text: '/nowhere/x',
  flag: false,
  bytes: new Int32Array(4),
  queue: 0,
  function: () => {},
};
const NO_NUMBERS = [undefined, null, '1', 1n, {}, Number.NaN, 1.5, -2, Number.POSITIVE_INFINITY];
const BAD: Readonly<Record<Kind, readonly unknown[]>> = {
  fd: [...NO_NUMBERS, -1, 2 ** 31],
  fdOrNone: [...NO_NUMBERS, 2 ** 31],
  u16: [...NO_NUMBERS, -1, 2 ** 16],
  u32: [...NO_NUMBERS, -1, 2 ** 32],
  u64: [undefined, null, 1, '1', -1n, 2n ** 64n],
  text: [undefined, null, 1, {}, Buffer.from('x')],
  flag: [undefined, null, 0, 'true'],
  bytes: [undefined, null, 'x', [], {}, new ArrayBuffer(16), new DataView(new ArrayBuffer(16))],
  queue: [...NO_NUMBERS, -1, 256],
  function: [undefined, null, {}, 'x'],
};

type Signatures = Readonly<Record<string, readonly Kind[]>>;

/** `bytes` with an offset and a length behind it counts as three. */
const FUNCTIONS: Signatures = {
  memoryCreate: [],
  memoryWith: ['u32', 'fd', 'u64', 'u64', 'u64', 'u64'],
  memoryWithout: ['u32', 'u64', 'u64', 'u64', 'u64'],
  memoryWithTranslation: ['u32', 'u64', 'u64', 'u64', 'u32', 'flag'],
  memoryWithoutTranslations: ['u32', 'u64', 'u64'],
  memoryHostAddress: ['u32', 'u64'],
  userfaultCreate: [],
  userfaultRegister: ['fd', 'u32'],
  userfaultUnregister: ['fd', 'u32'],
  memoryRelease: ['u32'],
  memoryRegionCount: ['u32'],
  memoryHoldsUser: ['u32', 'u64', 'u64'],
  inflightBytes: ['flag', 'u16', 'u16'],
  inflightCreate: ['flag', 'u16', 'u16'],
  inflightMap: ['fd', 'u64', 'u64', 'u16', 'u16'],
  inflightRelease: ['u32'],
  logMap: ['fd', 'u64', 'u64'],
  logWithSignal: ['u32', 'fdOrNone'],
  logCovers: ['u32', 'u64', 'u64'],
  logCoversMemory: ['u32', 'u32'],
  logRelease: ['u32'],
  mapShared: ['fd', 'u32', 'u32'],
  fdClose: ['fd'],
  fdDuplicate: ['fd'],
  fdKind: ['fd'],
  fdSetNonBlocking: ['fd'],
  eventfdCreate: ['u32'],
  eventfdSignal: ['fd'],
  eventfdRead: ['fd'],
  timerCreate: [],
  timerArm: ['fd', 'u32', 'u32'],
  memfdCreate: ['text', 'u32'],
  fileLock: ['fd', 'flag', 'u32', 'u32'],
  fileProbeLock: ['fd', 'flag', 'u32', 'u32'],
  fileUnlock: ['fd', 'u32', 'u32'],
  blockDevice: ['fd'],
  fileDirectAlignment: ['fd'],
  socketListen: ['text', 'u32'],
  socketConnect: ['text'],
  socketAccept: ['fd'],
  socketPair: ['bytes'],
  socketReceive: ['fd', 'bytes', 'u32', 'u32', 'bytes'],
  socketSend: ['fd', 'bytes', 'u32', 'u32', 'bytes', 'u32'],
  socketShutdown: ['fd'],
  socketIsListening: ['fd'],
  datagramBind: ['text'],
  datagramConnect: ['fd', 'text'],
  hostListen: ['text', 'u32', 'u32'],
  hostConnect: ['text', 'u32'],
  hostListenTcp: ['text', 'u32', 'u32'],
  hostConnectTcp: ['text', 'u32'],
  hostListenVsock: ['u32', 'u32', 'u32'],
  hostConnectVsock: ['u32', 'u32', 'u32'],
  hostPair: ['u32', 'bytes'],
  hostConnected: ['fd'],
  hostAccept: ['fd'],
  hostSend: ['fd', 'bytes', 'u32', 'u32'],
  hostReceive: ['fd', 'bytes', 'u32', 'u32', 'flag'],
  hostShutdown: ['fd', 'u32'],
  hostSetSendBytes: ['fd', 'u32'],
  childStart: ['text', 'u32', 'bytes'],
  childSignal: ['u32', 'u32'],
  childTake: ['u32'],
  framePasses: ['bytes', 'bytes', 'u32', 'u32'],
  frameHash: ['bytes', 'bytes', 'u32', 'u32', 'bytes'],
  frameHashPrepare: ['bytes'],
  frameSegment: ['bytes', 'bytes', 'u32', 'u32', 'bytes', 'u32', 'u32'],
  tapOpen: ['text', 'flag', 'u32'],
  tapAdopt: ['fd', 'u32'],
  tapSetPersistent: ['fd', 'flag'],
  tapSetOffload: ['fd', 'u32'],
  tapSetQueue: ['fd', 'flag'],
  tapAddress: ['fd', 'bytes'],
  tapSetAddress: ['fd', 'bytes'],
  Watcher: ['fd', 'function'],
  DataPlane: ['bytes', 'flag', 'fd', 'u32', 'u32'],
  OwnedQueue: ['bytes', 'bytes'],
};

const QUEUE_METHODS: Signatures = {
  start: [
    ...(['u32', 'u32', 'u64', 'u64', 'u64', 'u16', 'u16'] as const),
    ...(['u32', 'u32', 'u32', 'u32'] as const),
  ],
  seek: ['u16', 'u16'],
  move: ['u32'],
  copyOut: ['u16', 'u32', 'bytes', 'u32', 'u32'],
  copyIn: ['u16', 'u32', 'bytes', 'u32', 'u32'],
  pop: [], // as turn()
  addUsed: [],
  goToPrevious: [],
  available: [],
  fault: [],
  enableNotification: [],
  disableNotification: [],
  needsNotification: [],
  availIndex: [],
  usedIndex: [],
  nextAvail: [],
  nextUsed: [],
  inFlightCount: [],
  close: [],
};

const METHODS: Signatures = {
  turn: [], // the one call of the data path: what is no number counts as none
  addFile: ['u32', 'fd', 'u32'],
  startVring: [
    ...(['queue', 'u32', 'u64', 'u64', 'u64', 'u32', 'flag'] as const),
    ...(['fdOrNone', 'fdOrNone', 'fdOrNone', 'u32', 'u32', 'flag', 'u32', 'queue'] as const),
    ...(['flag', 'flag'] as const),
  ],
  enableVring: ['queue', 'flag'],
  setInband: ['queue', 'flag', 'flag'],
  askKicks: ['queue', 'flag'],
  paceCalls: ['queue', 'u32', 'u32'],
  setCall: ['queue', 'fdOrNone'],
  setErr: ['queue', 'fdOrNone'],
  setLog: ['u32', 'flag', 'u32', 'u32'],
  setUsedLog: ['queue', 'flag', 'u64'],
  drainVring: ['queue', 'flag'],
  endVring: ['queue'],
  inFlight: ['queue'],
  inFlightTotal: ['u32', 'u32'],
  hold: ['flag', 'u32', 'u32'],
  changeMemory: ['u32', 'u32', 'u32'],
  changeTranslations: ['u32', 'u64', 'u64', 'u32', 'u32'],
  translationsSettled: [],
  missingAddress: ['queue'],
  copyOut: ['u32', 'u32', 'bytes', 'u32', 'u32'],
  copyIn: ['u32', 'u32', 'bytes', 'u32', 'u32'],
  setArena: ['bytes'],
  limitTurn: ['u32'],
  keepChains: ['queue', 'u32', 'bytes'],
  forwardFrames: ['queue', 'u32', 'bytes'],
  setCapture: ['bytes'],
  capture: ['u32', 'bytes', 'u32', 'u32', 'u32', 'u32', 'u32'],
  move: [], // as turn(): on the data path, what is no number counts as zero
  receiveScattered: ['fd', 'bytes', 'u32', 'u32', 'u32', 'bytes', 'u32', 'flag'],
  watch: ['fd', 'u32', 'flag'],
  unwatch: ['u32'],
  giveUp: ['queue'],
  requestCount: ['queue'],
  callCount: ['queue'],
  close: [],
};

/** Values for 'u32' arguments whose bounds are wider than 32 bits, as files' are. */
const WIDE = new Set(['mapShared', 'memfdCreate', 'fileLock', 'fileProbeLock', 'fileUnlock']);

type AnyFunction = (...args: unknown[]) => unknown;

/** Each argument in turn replaced by each bad value of its kind. */
function badCalls(name: string, kinds: readonly Kind[]): unknown[][] {
  const good = kinds.map((kind) => GOOD[kind]);
  return kinds.flatMap((kind, i) =>
    BAD[kind]
      .filter((value) => !(WIDE.has(name) && kind === 'u32' && value === 2 ** 32))
      .map((value) => good.with(i, value)),
  );
}

function openPlane(uring = false) {
  const tables = new exchange.Exchange();
  const wakeFd = eventfd();
  const plane = new native.DataPlane(tables.bytes, uring, wakeFd, 0, 0, 16);
  return { tables, wakeFd, plane };
}

t.test('the tables name every function', async (t) => {
  const names = Object.keys(native).filter((name) => name !== 'exchangeLayout');
  t.same(names.sort(), Object.keys(FUNCTIONS).sort());
  const methods = Object.getOwnPropertyNames(native.DataPlane.prototype);
  t.same(methods.filter((name) => name !== 'constructor').sort(), Object.keys(METHODS).sort());
});

t.test('wrong arguments are a TypeError', async (t) => {
  const functions = native as unknown as Record<string, AnyFunction>;
  for (const [name, kinds] of Object.entries(FUNCTIONS)) {
    const call = (...args: unknown[]) =>
      /^[A-Z]/.test(name)
        ? Reflect.construct(functions[name] as AnyFunction, args)
        : functions[name]?.(...args);
    for (const args of badCalls(name, kinds)) {
      t.throws(() => call(...args), TypeError, `${name}(${args.map(String).join(', ')})`);
    }
    if (kinds.length > 0) {
      t.throws(() => call(), TypeError, `${name}()`);
    }
  }
});

t.test('wrong arguments of the data plane are a TypeError', async (t) => {
  const { plane, wakeFd } = openPlane();
  t.teardown(() => native.fdClose(wakeFd));
  const methods = plane as unknown as Record<string, AnyFunction>;
  for (const [name, kinds] of Object.entries(METHODS)) {
    for (const args of badCalls(name, kinds)) {
      t.throws(
        () => methods[name]?.(...args),
        TypeError,
        `${name}(${args.map(String).join(', ')})`,
      );
    }
  }
  t.equal((plane.turn as AnyFunction)('x', undefined), 0);
  plane.close();
  for (const [name, kinds] of Object.entries(METHODS)) {
    if (name !== 'close') {
      const good = kinds.map((kind) => GOOD[kind]);
      t.throws(() => methods[name]?.(...good), TypeError, `${name} of a closed data plane`);
    }
  }
  t.doesNotThrow(() => plane.close(), 'closing twice is nothing');
});

t.test('wrong arguments of a queue are a TypeError', async (t) => {
  const queue = new native.OwnedQueue(new Uint32Array(64), new Uint32Array(8));
  const methods = queue as unknown as Record<string, AnyFunction>;
  const names = Object.getOwnPropertyNames(native.OwnedQueue.prototype);
  t.same(names.filter((name) => name !== 'constructor').sort(), Object.keys(QUEUE_METHODS).sort());
  for (const [name, kinds] of Object.entries(QUEUE_METHODS)) {
    for (const args of badCalls(name, kinds)) {
      t.throws(() => methods[name]?.(...args), TypeError, `${name}(${args.map(String).join()})`);
    }
    // A copy from a chain that is not in flight is an answer, not a mistake in the call.
    if (!/^(close|copy)/.test(name)) {
      const good = kinds.map((kind) => GOOD[kind]);
      t.throws(() => methods[name]?.(...good), TypeError, `${name} before the start`);
    }
  }
  queue.close();
});

t.test('handles and ranges that do not exist are a TypeError', async (t) => {
  const bytes = new Uint8Array(8);
  const fds = new Int32Array(4);
  const memory = native.memoryCreate();
  native.memoryRelease(memory);
  const watched = eventfd();
  const watcher = new native.Watcher(watched, () => {});
  watcher.close();
  const detached = new Uint8Array(new exchange.Exchange().bytes);
  structuredClone(detached, { transfer: [detached.buffer] });
  const gone = new Uint8Array(8);
  structuredClone(gone, { transfer: [gone.buffer] });
  const rows: readonly (readonly [what: string, call: () => unknown])[] = [
    ['memory released', () => native.memoryRegionCount(memory)],
    ['memory never made', () => native.memoryHoldsUser(0, 0n, 0n)],
    ['watcher closed', () => watcher.watch(READABLE)],
    ['watcher events unknown', () => watcher.watch(4)],
    ['offset behind the end', () => native.socketReceive(NO_FD, bytes, 9, 0, fds)],
    ['length behind the end', () => native.socketReceive(NO_FD, bytes, 4, 5, fds)],
    ['no room for the counts', () => native.socketReceive(NO_FD, bytes, 0, 8, new Int32Array(1))],
    ['more fds than the array', () => native.socketSend(NO_FD, bytes, 0, 8, fds, 5)],
    ['no room for a pair', () => native.socketPair(new Int32Array(1))],
    ['detached buffer', () => native.socketSend(NO_FD, gone, 0, 8, fds, 0)],
    ['detached exchange', () => new native.DataPlane(detached, false, NO_FD, 0, 0, 16)],
    ['exchange too small', () => new native.DataPlane(new Uint8Array(64), false, NO_FD, 0, 0, 16)],
    [
      'header too long',
      () => new native.DataPlane(new exchange.Exchange().bytes, false, 0, 0, 0, 49),
    ],
    ['empty mapping', () => native.mapShared(NO_FD, 0, 0)],
    ['mapping over 4 GiB', () => native.mapShared(NO_FD, 0, 2 ** 32 + 4096)],
    ['class without new', () => (native.Watcher as unknown as AnyFunction)(0, () => {})],
    ['method of another object', () => watcher.watch.call({} as never, 1)],
  ];
  for (const [what, call] of rows) {
    t.throws(call, TypeError, what);
  }
  t.doesNotThrow(() => watcher.close(), 'a watcher closes twice');
  t.doesNotThrow(() => native.memoryRelease(memory), 'a memory is released twice');
  native.fdClose(watched);
});

t.test('descriptors that do not exist are -EBADF', async (t) => {
  const fds = new Int32Array(4);
  const bytes = new Uint8Array(8);
  const rows: readonly (readonly [name: string, result: unknown])[] = [
    ['fdClose', native.fdClose(NO_FD)],
    ['fdDuplicate', native.fdDuplicate(NO_FD)],
    ['fdKind', native.fdKind(NO_FD)],
    ['eventfdSignal', native.eventfdSignal(NO_FD)],
    ['eventfdRead', native.eventfdRead(NO_FD)],
    ['fileLock', native.fileLock(NO_FD, true, 0, 0)],
    ['fileProbeLock', native.fileProbeLock(NO_FD, true, 0, 0)],
    ['blockDevice', native.blockDevice(NO_FD).bytes],
    ['socketAccept', native.socketAccept(NO_FD)],
    ['socketReceive', native.socketReceive(NO_FD, bytes, 0, 8, fds)],
    ['socketSend', native.socketSend(NO_FD, bytes, 0, 8, fds, 0)],
    ['socketShutdown', native.socketShutdown(NO_FD)],
    ['socketIsListening', native.socketIsListening(NO_FD)],
    ['mapShared', native.mapShared(NO_FD, 0, 4096)],
  ];
  for (const [name, result] of rows) {
    t.equal(errnoName(-(result as number)), 'EBADF', name);
  }
  t.throws(() => new native.Watcher(NO_FD, () => {}), Error);
});

t.test('fdKind tells what a descriptor is', async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, 'file');
  const fifo = join(directory, 'fifo');
  writeFileSync(file, 'x');
  execFileSync('mkfifo', [fifo]);
  const [one, other] = socketPair();
  const rows: readonly (readonly [fd: number, kind: FdKind])[] = [
    [eventfd(), 'eventfd'],
    [openSync(file, 'r'), 'regular'],
    [memfd(4096), 'regular'],
    [one, 'socket'],
    [other, 'socket'],
    [openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK), 'pipe'],
    [openSync('/dev/null', 'r'), 'other'],
    [openSync(directory, 'r'), 'other'],
  ];
  for (const [fd, kind] of rows) {
    t.equal(fdKind(fd), kind);
    t.equal(native.fdClose(fd), 0);
  }
  t.equal(fdKind(NO_FD), 'other');
});

t.test('eventfds count, memfds are shared, locks keep others out', async (t) => {
  const fd = eventfd(2);
  native.eventfdSignal(fd);
  t.equal(native.eventfdRead(fd), 3);
  t.equal(native.eventfdRead(fd), 0, 'empty, without waiting');
  native.fdClose(fd);

  const file = memfd(8192);
  const copy = native.fdDuplicate(file);
  const first = new Uint8Array(native.mapShared(file, 4096, 4096) as ArrayBuffer);
  const second = new Uint8Array(native.mapShared(copy, 4096, 4096) as ArrayBuffer);
  first[7] = 42;
  t.equal(second[7], 42);
  t.equal(errnoName(-(native.mapShared(file, 1, 4096) as number)), 'EINVAL', 'unaligned');
  native.fdClose(copy);
  native.fdClose(file);

  const path = join(temporaryDirectory(t), 'locked');
  writeFileSync(path, '');
  const [holder, other] = [openSync(path, 'r+'), openSync(path, 'r+')];
  t.equal(native.fileLock(holder, true, 100, 1), 0);
  t.equal(errnoName(-native.fileLock(other, false, 100, 1)), 'EAGAIN');
  t.equal(native.fileProbeLock(other, false, 100, 1), 1);
  t.equal(native.fileProbeLock(other, false, 101, 1), 0);
  t.equal(native.fileLock(other, true, 101, 1), 0);
  closeSync(holder);
  t.equal(native.fileProbeLock(other, true, 100, 1), 0, 'gone with its descriptor');
  closeSync(other);
});

t.test('sockets carry bytes and descriptors', async (t) => {
  const before = openDescriptors();
  const path = join(temporaryDirectory(t), 's');
  const listener = native.socketListen(path, 1);
  t.equal(native.socketIsListening(listener), 1);
  t.equal(errnoName(-native.socketAccept(listener)), 'EAGAIN');
  const peer = native.socketConnect(path);
  const accepted = native.socketAccept(listener);
  t.equal(native.socketIsListening(accepted), 0);
  t.equal(errnoName(-native.socketConnect(`${path}x`)), 'ENOENT');
  t.equal(errnoName(-native.socketListen(path, 1)), 'EADDRINUSE');

  const sent = [eventfd(5), eventfd(6), eventfd(7)];
  const table = new Int32Array(4);
  const buffer = new Uint8Array(16);
  t.equal(native.socketSend(peer, new Uint8Array([9, 8, 7]), 1, 2, Int32Array.from(sent), 3), 2);
  t.equal(native.socketReceive(accepted, buffer, 4, 12, table), 2);
  t.same([...buffer.subarray(4, 6)], [8, 7]);
  t.same([...table.subarray(0, 2)], [2, 1], 'two fit, one was lost and closed');
  t.same(
    [...table.subarray(2)].map((fd) => native.eventfdRead(fd)),
    [5, 6],
  );
  t.equal(errnoName(-native.socketReceive(accepted, buffer, 0, 1, table)), 'EAGAIN');
  native.socketShutdown(peer);
  t.equal(native.socketReceive(accepted, buffer, 0, 1, table), 0, 'end of stream');
  for (const fd of [listener, peer, accepted, ...sent, ...table.subarray(2)]) {
    native.fdClose(fd);
  }
  t.equal(openDescriptors(), before);
});

t.test('a watcher tells of what it was asked for', async (t) => {
  const [one, other] = socketPair();
  const seen: number[] = [];
  let wake = () => {};
  const watcher = new native.Watcher(one, (events) => {
    seen.push(events);
    watcher.watch(0);
    wake();
  });
  const next = async (events: number) => {
    const ready = new Promise<void>((resolve) => {
      wake = resolve;
    });
    watcher.watch(events);
    await ready;
    return seen.at(-1);
  };
  t.equal(await next(WRITABLE), WRITABLE);
  native.socketSend(other, new Uint8Array(1), 0, 1, new Int32Array(1), 0);
  t.equal(await next(READABLE), READABLE);
  t.equal(seen.length, 2, 'paused in between');
  native.fdClose(other);
  t.equal(await next(READABLE), READABLE, 'the end is something to read');
  watcher.close();
  native.fdClose(one);
});
