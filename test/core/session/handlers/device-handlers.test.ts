// Requests that reach a hook of the device, over the wire: legal, refused, without the hook.

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  encodeRequest,
  type FrontendRequestName,
  PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_CROSS_ENDIAN,
  VHOST_USER_PROTOCOL_F_CRYPTO_SESSION,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_XEN_MMAP,
} from '../../../../src/core/protocol/index.js';
import { native } from '../../../../src/native/index.js';
import { HookDevice } from '../../../support/hook-device.js';
import {
  eventfd,
  memfd,
  openDescriptors,
  socketPair,
  temporaryDirectory,
  until,
} from '../../../support/resources.js';
import { RecordingDevice, SessionRig } from '../../../support/session-rig.js';
import { TinyRing } from '../../../support/tiny-ring.js';

const OK = 0n;
const NACK = 1n;
const STATE_OK = 0x100n;
const STATE_NACK = 0x101n;
const SAVE = { direction: 0, phase: 0 };
const LOAD = { direction: 1, phase: 0 };
const UUID_HEX = '0102030405060708090a0b0c0d0e0f10';
const OBJECT = { uuid: '01020304-0506-0708-090a-0b0c0d0e0f10' };

async function open(t: Test) {
  const device = new HookDevice();
  const rig = new SessionRig(t, { device });
  await rig.negotiate();
  await rig.session.pool.ready(); // descriptors of the worker's own are open
  device.calls.length = 0;
  return { rig, device };
}

/** Read and write end of a pipe, both blocking as a front-end's are. */
function pipe(t: Test): [number, number] {
  const path = join(temporaryDirectory(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const both = openSync(path, 'r+');
  const ends: [number, number] = [openSync(path, 'r'), openSync(path, 'w')];
  closeSync(both);
  return ends;
}

t.test('hooks stand for protocol features', async (t) => {
  const names = ['RARP', 'MTU', 'SHARED_OBJECT', 'DEVICE_STATE', 'SHMEM', 'HOST_NOTIFIER'] as const;
  for (const [device, offered] of [
    [new HookDevice(), true],
    [new RecordingDevice(), false],
  ] as const) {
    const rig = new SessionRig(t, { device });
    const bits = (await rig.ask('GET_PROTOCOL_FEATURES', undefined)) as bigint;
    for (const name of names) {
      const bit = PROTOCOL_FEATURES[`VHOST_USER_PROTOCOL_F_${name}`];
      t.equal((bits & bit) !== 0n, offered, name);
    }
  }
});

t.test('XEN_MMAP, CROSS_ENDIAN and CRYPTO_SESSION are never offered', async (t) => {
  const never =
    VHOST_USER_PROTOCOL_F_XEN_MMAP |
    VHOST_USER_PROTOCOL_F_CROSS_ENDIAN |
    VHOST_USER_PROTOCOL_F_CRYPTO_SESSION;
  const device = new RecordingDevice();
  device.protocolFeatures = () => never;
  const rig = new SessionRig(t, { device });
  await rig.negotiate();
  t.equal(((await rig.ask('GET_PROTOCOL_FEATURES', undefined)) as bigint) & never, 0n);
  for (const bit of [17n, 6n, 7n]) {
    const answer = await rig.ask('SET_PROTOCOL_FEATURES', 8n | (1n << bit));
    t.equal(answer, NACK, `bit ${bit}`);
  }
  t.equal(await rig.ask('SET_VRING_ENDIAN', { index: 0, num: 0 }), NACK);
  t.equal(await rig.ask('CLOSE_CRYPTO_SESSION', 1n), NACK);
  rig.send('CREATE_CRYPTO_SESSION', new Uint8Array(8));
  t.ok(await rig.peer.ended(), 'its reply can not say no');
});

t.test('numbers for a network device (NT-035)', async (t) => {
  const { rig, device } = await open(t);
  const rows: readonly (readonly [
    'SEND_RARP' | 'NET_SET_MTU',
    bigint,
    answer: bigint,
    call?: string,
  ])[] = [
    ['SEND_RARP', 0x0000_6655_4433_2211n, OK, 'rarp 112233445566'],
    ['SEND_RARP', 0xffff_0000_0000_0001n, OK, 'rarp 010000000000'],
    ['NET_SET_MTU', 1500n, OK, 'mtu 1500'],
    ['NET_SET_MTU', 68n, OK, 'mtu 68'],
    ['NET_SET_MTU', 65535n, OK, 'mtu 65535'],
    ['NET_SET_MTU', 67n, NACK],
    ['NET_SET_MTU', 65536n, NACK],
    ['NET_SET_MTU', 2n ** 64n - 1n, NACK],
  ];
  for (const [name, value, answer, call] of rows) {
    device.calls.length = 0;
    t.equal(await rig.ask(name, value), answer, `${name} ${value}`);
    t.same(device.calls, call === undefined ? [] : [call]);
  }
  device.failure = new RangeError('the link is down');
  t.equal(await rig.ask('SEND_RARP', 1n), NACK, 'what a hook throws is a refusal');
  t.match(rig.lines.join('\n'), /DEVICE.*|the link is down/);
  t.equal(await rig.ask('SEND_RARP', 1n), OK, 'and the session goes on');
});

t.test('shared objects', async (t) => {
  const { rig, device } = await open(t);
  const before = openDescriptors();
  const fd = eventfd(3);
  device.objects.set(UUID_HEX, fd);
  t.equal(await rig.ask('GET_SHARED_OBJECT', OBJECT), 'empty');
  const got = rig.peer.takeFd() as number;
  t.equal(native.eventfdRead(got), 3, 'the same object');
  native.fdClose(got);
  t.equal(await rig.ask('GET_SHARED_OBJECT', { uuid: OBJECT.uuid.replace('0', '9') }), 'empty');
  t.equal(rig.peer.takeFd(), undefined, 'unknown: an answer without descriptor');
  device.failure = new Error('lost');
  t.equal(await rig.ask('GET_SHARED_OBJECT', OBJECT), 'empty');
  t.equal(rig.peer.takeFd(), undefined);
  for (const byte of [0, 255]) {
    rig.peer.send(encodeRequest(41, new Uint8Array(16).fill(byte), { needReply: true }));
    t.equal((await rig.reply('GET_SHARED_OBJECT'))?.payload, 'empty', `UUID of ${byte}`);
  }
  t.equal(device.calls.length, 3, 'which no device sees');
  native.fdClose(fd);
  t.equal(openDescriptors(), before);
});

t.test('a shared object whose descriptor is gone', async (t) => {
  const { rig, device } = await open(t);
  const fd = eventfd();
  native.fdClose(fd);
  device.objects.set(UUID_HEX, fd);
  t.equal(await rig.ask('GET_SHARED_OBJECT', OBJECT), 'empty');
  t.equal(rig.peer.takeFd(), undefined);
});

t.test('shared memory regions', async (t) => {
  const { rig, device } = await open(t);
  t.same(await rig.ask('GET_SHMEM_CONFIG', undefined), {
    regions: [
      { shmemId: 1, sizeBytes: 4096n },
      { shmemId: 3, sizeBytes: 65536n },
    ],
  });
  device.shmemSizes = [];
  t.same(await rig.ask('GET_SHMEM_CONFIG', undefined), { regions: [] });
});

t.test('the socket of a GPU', async (t) => {
  const { rig, device } = await open(t);
  const before = openDescriptors();
  const [ours, theirs] = socketPair();
  t.equal(await rig.ask('GPU_SET_SOCKET', undefined, { fds: [ours] }), OK);
  native.socketSend(theirs, Uint8Array.of(7), 0, 1, new Int32Array(0), 0);
  const byte = new Uint8Array(1);
  native.socketReceive(device.gpuSocket as number, byte, 0, 1, new Int32Array(4));
  t.equal(byte[0], 7, 'the device has it');
  t.equal(await rig.ask('GPU_SET_SOCKET', undefined, { fds: [ours] }), OK, 'another one');
  device.failure = new Error('no display');
  t.equal(await rig.ask('GPU_SET_SOCKET', undefined, { fds: [ours] }), NACK);
  const event = eventfd();
  t.equal(await rig.ask('GPU_SET_SOCKET', undefined, { fds: [event] }), NACK, 'no socket');
  for (const fd of [ours, theirs, event, device.gpuSocket as number]) {
    native.fdClose(fd);
  }
  t.equal(openDescriptors(), before);
});

t.test('device state goes out through a pipe', async (t) => {
  const { rig, device } = await open(t);
  // More than a pipe holds: the device has to wait for the reader, and blocks nothing meanwhile.
  device.state = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
  const [read, write] = pipe(t);
  const before = openDescriptors() - 2;
  t.equal(await rig.ask('SET_DEVICE_STATE_FD', SAVE, { fds: [write] }), STATE_OK);
  t.equal(rig.peer.takeFd(), undefined, "the front-end's own pipe is used");
  closeSync(write);
  t.equal(
    await rig.ask('SET_DEVICE_STATE_FD', SAVE, { fds: [read] }),
    STATE_NACK,
    'one transfer at a time',
  );
  t.type(await rig.ask('GET_FEATURES', undefined), 'bigint', 'the session is served meanwhile');
  const chunk = new Uint8Array(1 << 16);
  const got: number[] = [];
  native.fdSetNonBlocking(read);
  await until('the end of the state', () => {
    try {
      const bytes = readSync(read, chunk);
      got.push(...chunk.subarray(0, bytes));
      return bytes === 0;
    } catch {
      return false;
    }
  });
  t.same(Buffer.from(got).equals(device.state), true, 'all of it');
  closeSync(read);
  t.equal(await rig.ask('CHECK_DEVICE_STATE', undefined), OK);
  t.same(device.calls, ['save', 'check']);
  t.equal(openDescriptors(), before);
});

t.test('device state comes in through a pipe', async (t) => {
  const { rig, device } = await open(t);
  const before = openDescriptors();
  const [read, write] = pipe(t);
  t.equal(await rig.ask('SET_DEVICE_STATE_FD', LOAD, { fds: [read] }), STATE_OK);
  closeSync(read);
  writeSync(write, 'state in ');
  rig.send('CHECK_DEVICE_STATE', undefined, { needReply: true });
  t.ok(await rig.peer.quiet(), 'the end is awaited');
  writeSync(write, 'two parts');
  closeSync(write);
  t.equal((await rig.reply('CHECK_DEVICE_STATE'))?.payload, OK);
  t.equal(Buffer.from(device.state).toString(), 'state in two parts');
  device.failure = new Error('not after all');
  t.equal(await rig.ask('CHECK_DEVICE_STATE', undefined), NACK);
  t.equal(openDescriptors(), before);
});

t.test('device state: what is refused', async (t) => {
  const { rig, device } = await open(t);
  const before = openDescriptors();
  t.equal(await rig.ask('CHECK_DEVICE_STATE', undefined), NACK, 'nothing was transferred');
  const [read, write] = pipe(t);
  const kinds = [memfd(4096), eventfd()];
  for (const fd of kinds) {
    t.equal(await rig.ask('SET_DEVICE_STATE_FD', SAVE, { fds: [fd] }), STATE_NACK);
    native.fdClose(fd);
  }
  for (const payload of [
    { direction: 2, phase: 0 },
    { direction: 0, phase: 1 },
  ]) {
    const answer = await rig.ask('SET_DEVICE_STATE_FD', payload, { fds: [write] });
    t.equal(answer, STATE_NACK, JSON.stringify(payload));
  }
  t.same(device.calls, []);
  // The read end can't be written to: the transfer begins and fails.
  device.state = new Uint8Array(10);
  t.equal(await rig.ask('SET_DEVICE_STATE_FD', SAVE, { fds: [read] }), STATE_OK);
  t.equal(await rig.ask('CHECK_DEVICE_STATE', undefined), NACK, 'the wrong end');
  device.failure = new Error('hostile state');
  t.equal(await rig.ask('SET_DEVICE_STATE_FD', LOAD, { fds: [read] }), STATE_OK);
  t.equal(await rig.ask('CHECK_DEVICE_STATE', undefined), NACK, 'the device said no');
  closeSync(read);
  closeSync(write);
  t.equal(openDescriptors(), before);
});

t.test('device state and running vrings keep apart', async (t) => {
  const { rig } = await open(t);
  const ring = new TinyRing();
  t.teardown(() => ring.close());
  await rig.startVring(ring);
  const [read, write] = pipe(t);
  t.equal(await rig.ask('SET_DEVICE_STATE_FD', SAVE, { fds: [write] }), STATE_NACK, 'running');
  await rig.ask('GET_VRING_BASE', { index: 0, num: 0 });
  t.equal(await rig.ask('SET_DEVICE_STATE_FD', LOAD, { fds: [read] }), STATE_OK);
  await rig.startVring(ring);
  t.equal(rig.session.vring(0).started, false, 'a transfer goes on');
  closeSync(write);
  closeSync(read);
  t.equal(await rig.ask('CHECK_DEVICE_STATE', undefined), OK);
});

t.test('a reset waits for a transfer, which is forgotten then', async (t) => {
  const { rig, device } = await open(t);
  const [read, write] = pipe(t);
  t.equal(await rig.ask('SET_DEVICE_STATE_FD', LOAD, { fds: [read] }), STATE_OK);
  rig.send('RESET_DEVICE', undefined, { needReply: true });
  t.ok(await rig.peer.quiet());
  closeSync(write);
  closeSync(read);
  t.equal((await rig.reply('RESET_DEVICE'))?.payload, OK);
  t.same(device.calls, ['load', 'reset']);
  t.equal(await rig.ask('CHECK_DEVICE_STATE', undefined), NACK);
});

t.test('a session that ends in the middle of a transfer', async (t) => {
  const { rig, device } = await open(t);
  const [read, write] = pipe(t);
  t.equal(await rig.ask('SET_DEVICE_STATE_FD', LOAD, { fds: [read] }), STATE_OK);
  rig.peer.close();
  closeSync(write);
  closeSync(read);
  await rig.ended;
  t.equal(device.calls.at(-1), 'reset', 'the device is reset after it');
});

t.test('wrong numbers of descriptors close (CS-030, CS-031)', async (t) => {
  const rows: readonly (readonly [FrontendRequestName, unknown, number])[] = [
    ['GPU_SET_SOCKET', undefined, 0],
    ['GPU_SET_SOCKET', undefined, 2],
    ['SET_DEVICE_STATE_FD', SAVE, 0],
    ['SET_DEVICE_STATE_FD', SAVE, 2],
    ['GET_SHARED_OBJECT', OBJECT, 1],
    ['SEND_RARP', 0n, 1],
    ['NET_SET_MTU', 1500n, 1],
    ['CHECK_DEVICE_STATE', undefined, 1],
    ['GET_SHMEM_CONFIG', undefined, 1],
    ['VRING_KICK', { index: 0, num: 0 }, 1],
    ['SET_BACKEND_REQ_FD', undefined, 0],
    ['SET_BACKEND_REQ_FD', undefined, 2],
  ];
  for (const [name, payload, count] of rows) {
    await t.test(`${name} with ${count}`, async (t) => {
      const { rig } = await open(t);
      const fds = Array.from({ length: count }, () => eventfd());
      const before = openDescriptors();
      rig.send(name, payload as never, { fds, needReply: true });
      t.ok(await rig.peer.ended());
      await rig.ended;
      t.equal(openDescriptors(), before - 1, "the session's own socket is closed, nothing is left");
      fds.map((fd) => native.fdClose(fd));
    });
  }
});

t.test('payloads of a wrong length', async (t) => {
  const { rig, device } = await open(t);
  for (const name of ['SEND_RARP', 'NET_SET_MTU', 'CHECK_DEVICE_STATE'] as const) {
    const id = { SEND_RARP: 19, NET_SET_MTU: 20, CHECK_DEVICE_STATE: 43 }[name];
    for (const bytes of [4, 9]) {
      rig.peer.send(encodeRequest(id, new Uint8Array(bytes), { needReply: true }));
      t.equal((await rig.reply(name))?.payload, NACK, `${name} of ${bytes}`);
    }
  }
  t.same(device.calls, []);
  t.equal(rig.session.protocolFeatures & VHOST_USER_PROTOCOL_F_REPLY_ACK, 8n);
});
