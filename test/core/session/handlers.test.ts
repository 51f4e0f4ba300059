// Every request a front-end may send, over the wire: its legal form, what it refuses, what it does.

import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import {
  FRONTEND_REQUESTS,
  type FrontendRequestName,
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from '../../../src/core/protocol/index.js';
import { CONFIG_BYTES_MAX, HANDLERS, MEM_SLOTS_MAX } from '../../../src/core/session/handlers.js';
import { native } from '../../../src/native/index.js';
import { COMPLETE } from '../../fixtures/scripted-handler.js';
import { eventfd, memfd, socketPair, until } from '../../support/resources.js';
import { QUEUE_SIZE_MAX, QUEUES, SessionRig } from '../../support/session-rig.js';
import { TinyRing } from '../../support/tiny-ring.js';

const OK = 0n;
const NACK = 1n;

t.test('every request of the table has a handler', async (t) => {
  t.same(Object.keys(HANDLERS).sort(), FRONTEND_REQUESTS.map(({ name }) => name).sort());
});

t.test('questions', async (t) => {
  const rig = new SessionRig(t);
  const offered = rig.device.features() | VHOST_USER_F_PROTOCOL_FEATURES;
  t.equal(await rig.ask('GET_FEATURES', undefined), offered);
  t.equal(await rig.ask('GET_PROTOCOL_FEATURES', undefined), 0x1a229n);
  t.equal(await rig.ask('GET_QUEUE_NUM', undefined), BigInt(QUEUES), 'SPDK asks before MQ');
  await rig.negotiate();
  t.equal(await rig.ask('GET_MAX_MEM_SLOTS', undefined), BigInt(MEM_SLOTS_MAX));
  t.equal(await rig.ask('GET_STATUS', undefined), 0n);
});

t.test('SET_FEATURES (CS-050, CS-051)', async (t) => {
  const version1 = VIRTIO_F_VERSION_1;
  const rows: readonly (readonly [features: bigint, answer: bigint])[] = [
    [version1, OK],
    [version1 | 1n | VIRTIO_F_RING_EVENT_IDX | VHOST_USER_F_PROTOCOL_FEATURES, OK],
    [version1 | 2n, NACK],
    [version1 | VHOST_F_LOG_ALL, NACK],
    [version1 | (1n << 63n), NACK],
    [0n, NACK],
    [1n, NACK],
  ];
  for (const [features, answer] of rows) {
    const rig = new SessionRig(t);
    rig.send('SET_PROTOCOL_FEATURES', VHOST_USER_PROTOCOL_F_REPLY_ACK);
    t.equal(await rig.ask('SET_FEATURES', features), answer, `0x${features.toString(16)}`);
    t.equal(rig.session.ackedFeatures, answer === OK ? features : 0n);
    t.equal(rig.session.featuresSet, answer === OK);
    t.same(rig.device.calls, answer === OK ? [`acked ${features.toString(16)}`] : []);
    const enabled = answer === OK && (features & VHOST_USER_F_PROTOCOL_FEATURES) === 0n;
    t.equal(rig.session.vring(1).enabled, enabled, 'enabled from the start without bit 30');
  }
});

t.test('SET_PROTOCOL_FEATURES (CS-053)', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const good = rig.session.protocolFeatures;
  for (const bit of [1n, 2n, 12n, 22n, 63n]) {
    t.equal(await rig.ask('SET_PROTOCOL_FEATURES', good | (1n << bit)), NACK, `bit ${bit}`);
  }
  t.equal(rig.session.protocolFeatures, good);
});

t.test('vring numbers', async (t) => {
  const rows: readonly (readonly [
    'SET_VRING_NUM' | 'SET_VRING_BASE' | 'SET_VRING_ENABLE',
    number,
    number,
    bigint,
  ])[] = [
    ['SET_VRING_NUM', 0, 1, OK],
    ['SET_VRING_NUM', 1, QUEUE_SIZE_MAX, OK],
    ['SET_VRING_NUM', 0, 2 * QUEUE_SIZE_MAX, NACK],
    ['SET_VRING_NUM', 0, 0, NACK],
    ['SET_VRING_NUM', 0, 3, NACK],
    ['SET_VRING_NUM', 0, 2 ** 31, NACK],
    ['SET_VRING_NUM', QUEUES, 8, NACK],
    ['SET_VRING_NUM', 2 ** 32 - 1, 8, NACK],
    ['SET_VRING_BASE', 0, 0xffff, OK],
    ['SET_VRING_BASE', 0, 0x10000, NACK],
    ['SET_VRING_BASE', QUEUES, 0, NACK],
    ['SET_VRING_ENABLE', 0, 1, OK],
    ['SET_VRING_ENABLE', 0, 0, OK],
    ['SET_VRING_ENABLE', 0, 2, NACK],
    ['SET_VRING_ENABLE', QUEUES, 1, NACK],
  ];
  const rig = new SessionRig(t);
  await rig.negotiate();
  for (const [name, index, num, answer] of rows) {
    t.equal(await rig.ask(name, { index, num }), answer, `${name} ${index} ${num}`);
  }
  t.match(rig.session.vrings, [
    { size: 1, base: 0xffff, enabled: false },
    { size: QUEUE_SIZE_MAX },
  ]);
});

t.test('SET_VRING_ADDR: alignment, flags, index', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const good = {
    index: 0,
    flags: 0,
    descriptorAddress: 0x1000n,
    availableAddress: 0x2002n,
    usedAddress: 0x3004n,
    logAddress: 1n,
  };
  const rows = [
    [{}, OK],
    [{ flags: 1 }, OK],
    [{ flags: 2 }, NACK],
    [{ descriptorAddress: 0x1008n }, NACK],
    [{ availableAddress: 0x2001n }, NACK],
    [{ usedAddress: 0x3002n }, NACK],
    [{ index: QUEUES }, NACK],
  ] as const;
  for (const [values, answer] of rows) {
    const words = Object.entries(values).join(' ');
    t.equal(await rig.ask('SET_VRING_ADDR', { ...good, ...values }), answer, words);
  }
});

t.test('kick, call, err: kinds of descriptors', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const [socket, otherEnd] = socketPair();
  const event = eventfd();
  const file = memfd(4096);
  const device = openSync('/dev/null', 'r+');
  const rows: readonly (readonly [
    'SET_VRING_KICK' | 'SET_VRING_CALL' | 'SET_VRING_ERR',
    number | undefined,
    bigint,
  ])[] = [
    ['SET_VRING_KICK', event, OK],
    ['SET_VRING_KICK', undefined, OK],
    ['SET_VRING_KICK', socket, NACK],
    ['SET_VRING_KICK', file, NACK],
    ['SET_VRING_CALL', event, OK],
    ['SET_VRING_CALL', socket, OK], // User-mode Linux
    ['SET_VRING_CALL', undefined, OK],
    ['SET_VRING_CALL', file, NACK],
    ['SET_VRING_CALL', device, NACK],
    ['SET_VRING_ERR', event, OK],
    ['SET_VRING_ERR', file, NACK],
  ];
  for (const [name, fd, answer] of rows) {
    const payload = { index: 1, hasFd: fd !== undefined };
    t.equal(await rig.ask(name, payload, { fds: fd === undefined ? [] : [fd] }), answer, name);
  }
  t.equal(native.eventfdRead(event), 1, 'a call descriptor is signalled on receipt, others not');
  const none = { index: QUEUES, hasFd: true };
  t.equal(await rig.ask('SET_VRING_CALL', none, { fds: [event] }), NACK, 'no such vring');
  for (const fd of [socket, otherEnd, event, file]) {
    native.fdClose(fd);
  }
  closeSync(device);
});

t.test('memory: tables and slots', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const fd = memfd(65536);
  const region = (at: bigint, sizeBytes = 4096n) => ({
    guestAddress: at,
    userAddress: 0x7000_0000n + at,
    sizeBytes,
    mmapOffsetBytes: 0n,
  });
  const one = { fds: [fd] };
  t.equal(await rig.ask('SET_MEM_TABLE', { regions: [region(0n)] }, one), OK);
  t.equal(rig.session.memory.regionCount, 1);
  t.equal(await rig.ask('SET_MEM_TABLE', { regions: [] }), NACK, 'no regions');
  const twice = { regions: [region(0n), region(0n)] };
  t.equal(await rig.ask('SET_MEM_TABLE', twice, { fds: [fd, fd] }), NACK, 'overlap');
  const short = { regions: [region(0n, 65537n)] };
  t.equal(await rig.ask('SET_MEM_TABLE', short, one), NACK, 'file too short');
  t.equal(rig.session.memory.regionCount, 1, 'a refusal changes nothing');
  t.match(rig.lines.join('\n'), /overlaps another region/);
  t.match(rig.lines.join('\n'), /shorter than offset plus size/);
  t.equal(await rig.ask('ADD_MEM_REG', region(0x10000n), one), OK);
  t.equal(await rig.ask('ADD_MEM_REG', region(0x10000n), one), NACK);
  t.equal(rig.session.memory.regionCount, 2);
  t.equal(await rig.ask('REM_MEM_REG', region(0n)), OK);
  t.equal(await rig.ask('REM_MEM_REG', region(0n)), NACK, 'there is none any more');
  t.equal(await rig.ask('REM_MEM_REG', region(0x10000n), one), OK, 'with a descriptor too');
  t.equal(rig.session.memory.regionCount, 0);
  native.fdClose(fd);
});

t.test('config space (CS-140, CS-141)', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const asks: readonly (readonly [offset: number, size: number, first: number | 'empty'])[] = [
    [0, 16, 1],
    [4, 4, 5],
    [0, CONFIG_BYTES_MAX, 1],
    [CONFIG_BYTES_MAX - 1, 1, 0],
    [0, CONFIG_BYTES_MAX + 1, 'empty'],
    [CONFIG_BYTES_MAX, 1, 'empty'],
    [2 ** 32 - 1, 4, 'empty'],
    [0, 0, 'empty'],
  ];
  for (const [offset, size, first] of asks) {
    const answer = await rig.ask('GET_CONFIG', { offset, flags: 0, bytes: new Uint8Array(size) });
    if (first === 'empty') {
      t.equal(answer, 'empty', `${offset} + ${size}`);
    } else {
      const { bytes } = answer as { bytes: Uint8Array };
      t.equal(bytes.byteLength, size, 'as long as asked');
      t.equal(bytes[0], first, `${offset} + ${size}`);
    }
  }
  const bytes = Uint8Array.of(9);
  const writes: readonly (readonly [
    offset: number,
    flags: number,
    answer: bigint,
    call?: string,
  ])[] = [
    [4, 0, OK, 'config 4 9 driver'],
    [4, 1, OK, 'config 4 9 driver'],
    [4, 2, OK, 'config 4 9 migration'],
    [4, 3, NACK],
    [0, 0, NACK],
    [CONFIG_BYTES_MAX, 0, NACK],
  ];
  for (const [offset, flags, answer, call] of writes) {
    const before = rig.device.calls.length;
    t.equal(await rig.ask('SET_CONFIG', { offset, flags, bytes }), answer, `${offset} ${flags}`);
    t.same(rig.device.calls.slice(before), call === undefined ? [] : [call]);
  }
});

t.test('status and reset (CS-057)', async (t) => {
  const rig = new SessionRig(t);
  rig.send('SET_PROTOCOL_FEATURES', 0x1a229n);
  t.equal(await rig.ask('SET_STATUS', 0x0bn), OK);
  t.equal(await rig.ask('GET_STATUS', undefined), 3n, 'FEATURES_OK only with features');
  await rig.negotiate();
  t.equal(await rig.ask('GET_STATUS', undefined), 0x0bn);
  t.equal(await rig.ask('SET_STATUS', 0x100n), NACK);
  await rig.ask('SET_VRING_ENABLE', { index: 0, num: 1 });
  t.equal(await rig.ask('SET_STATUS', 0n), OK);
  t.equal(await rig.ask('GET_STATUS', undefined), 0n);
  t.equal(rig.session.vring(0).enabled, false);
  t.equal(await rig.ask('RESET_DEVICE', undefined), OK);
  t.equal(rig.device.calls.filter((call) => call === 'reset').length, 2);
  await rig.ask('SET_VRING_ENABLE', { index: 0, num: 1 });
  t.equal(await rig.ask('RESET_OWNER', undefined), OK);
  t.equal(rig.session.vring(0).enabled, false);
  t.equal(await rig.ask('SET_OWNER', undefined), OK);
  t.equal(await rig.ask('SET_OWNER', undefined), OK, 'twice');
});

t.test('what may change while a vring runs', async (t) => {
  const rig = new SessionRig(t);
  const ring = new TinyRing();
  await rig.negotiate();
  const { fd, ...region } = ring.region;
  const addresses = { index: 0, flags: 0, logAddress: 0n, ...ring.addresses };
  // Kick before memory: the vring starts as soon as it can.
  const kick = { fds: [ring.kickFd] };
  t.equal(await rig.ask('SET_VRING_KICK', { index: 0, hasFd: true }, kick), OK);
  await rig.ask('SET_VRING_NUM', { index: 0, num: ring.size });
  await rig.ask('SET_VRING_ADDR', addresses);
  t.equal(rig.session.vring(0).started, false);
  t.equal(await rig.ask('SET_MEM_TABLE', { regions: [region] }, { fds: [fd] }), OK);
  t.equal(rig.session.vring(0).started, true);
  ring.add(Uint8Array.of(COMPLETE, 0, 0, 0));
  await rig.ask('SET_VRING_ENABLE', { index: 0, num: 1 });
  await until('served', () => ring.usedIndex === 1);
  const { ackedFeatures } = rig.session;
  const rows: readonly (readonly [what: string, answer: unknown, expected: bigint])[] = [
    ['size', await rig.ask('SET_VRING_NUM', { index: 0, num: 16 }), NACK],
    ['base', await rig.ask('SET_VRING_BASE', { index: 0, num: 0 }), NACK],
    ['kick', await rig.ask('SET_VRING_KICK', { index: 0, hasFd: true }, kick), NACK],
    ['same addresses', await rig.ask('SET_VRING_ADDR', addresses), OK],
    ['log flag', await rig.ask('SET_VRING_ADDR', { ...addresses, flags: 1 }), OK],
    ['others', await rig.ask('SET_VRING_ADDR', { ...addresses, usedAddress: 0n }), NACK],
    ['call', await rig.ask('SET_VRING_CALL', { index: 0, hasFd: false }), OK],
    ['same features', await rig.ask('SET_FEATURES', ackedFeatures), OK],
    ['less features', await rig.ask('SET_FEATURES', ackedFeatures & ~1n), NACK], // CS-052
    ['bit 30', await rig.ask('SET_FEATURES', ackedFeatures & ~VHOST_USER_F_PROTOCOL_FEATURES), OK],
    ['memory', await rig.ask('SET_MEM_TABLE', { regions: [region] }, { fds: [fd] }), OK],
  ];
  for (const [what, answer, expected] of rows) {
    t.equal(answer, expected, what);
  }
  ring.add(Uint8Array.of(COMPLETE, 0, 0, 0));
  await until('served in the new memory', () => ring.usedIndex === 2);
  t.same(await rig.ask('GET_VRING_BASE', { index: 0, num: 0 }), { index: 0, num: 2 });
  t.same(await rig.ask('GET_VRING_BASE', { index: 1, num: 0 }), { index: 1, num: 0 });
  ring.close();
});

t.test('a ring outside memory is refused at its start', async (t) => {
  const rig = new SessionRig(t);
  const ring = new TinyRing();
  await rig.negotiate();
  const { fd, ...region } = ring.region;
  await rig.ask('SET_MEM_TABLE', { regions: [region] }, { fds: [fd] });
  await rig.ask('SET_VRING_NUM', { index: 0, num: ring.size });
  const addresses = { index: 0, flags: 0, logAddress: 0n, ...ring.addresses, usedAddress: 0n };
  await rig.ask('SET_VRING_ADDR', addresses);
  const kick = { fds: [ring.kickFd] };
  t.equal(await rig.ask('SET_VRING_KICK', { index: 0, hasFd: true }, kick), NACK);
  t.equal(rig.session.vring(0).started, false);
  ring.close();
});

t.test('what this back-end does not do is refused', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const event = eventfd();
  const rows: readonly (readonly [FrontendRequestName, unknown, number[]])[] = [
    ['SET_LOG_FD', undefined, [event]],
    ['GPU_SET_SOCKET', undefined, [event]],
    ['SET_LOG_BASE', { form: 'area', mmapSizeBytes: 4096n, mmapOffsetBytes: 0n }, []],
    ['SEND_RARP', 0n, []],
    ['VRING_KICK', { index: 0, num: 0 }, []],
  ];
  for (const [name, payload, fds] of rows) {
    t.equal(await rig.ask(name, payload as never, { fds }), NACK, name);
  }
  native.fdClose(event);
});

t.test('SET_BACKEND_REQ_FD takes a socket, and the next one in its place', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const event = eventfd();
  t.equal(await rig.ask('SET_BACKEND_REQ_FD', undefined, { fds: [event] }), NACK);
  const [one, oneEnd] = socketPair();
  t.equal(await rig.ask('SET_BACKEND_REQ_FD', undefined, { fds: [one] }), OK);
  native.fdClose(one);
  const [two, twoEnd] = socketPair();
  t.equal(await rig.ask('SET_BACKEND_REQ_FD', undefined, { fds: [two] }), OK);
  native.fdClose(two);
  const buffer = new Uint8Array(12);
  const table = new Int32Array(4);
  t.equal(native.socketReceive(oneEnd, buffer, 0, 12, table), 0, 'the first one is closed');
  rig.session.backendChannel?.configChanged();
  t.equal(native.socketReceive(twoEnd, buffer, 0, 12, table), 12);
  for (const fd of [event, oneEnd, twoEnd]) {
    native.fdClose(fd);
  }
});
