// Messages about one vring over the wire: legal, refused, while it runs.

import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import {
  hasFeature,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_RING_PACKED,
} from '../../../../src/core/protocol/index.js';
import { native } from '../../../../src/native/index.js';
import { COMPLETE } from '../../../fixtures/scripted-handler.js';
import { eventfd, memfd, socketPair, until } from '../../../support/resources.js';
import {
  QUEUE_SIZE_MAX,
  QUEUES,
  RecordingDevice,
  SessionRig,
} from '../../../support/session-rig.js';
import { TinyRing } from '../../../support/tiny-ring.js';

const OK = 0n;
const NACK = 1n;

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

class PackedDevice extends RecordingDevice {
  override features(): bigint {
    return super.features() | VIRTIO_F_RING_PACKED;
  }
}

t.test('packed rings: sizes, alignment and bases', async (t) => {
  const rig = new SessionRig(t, { device: new PackedDevice() });
  await rig.negotiate();
  const packed = rig.session.offeredFeatures;
  t.equal(hasFeature(packed, VIRTIO_F_RING_PACKED), true);
  t.same(await rig.ask('GET_VRING_BASE', { index: 0, num: 0 }), { index: 0, num: 0x8000_8000 });
  const rows: readonly (readonly ['SET_VRING_NUM' | 'SET_VRING_BASE', number, bigint, number])[] = [
    ['SET_VRING_BASE', 0x7fff_7fff, OK, 0x7fff_7fff], // no size yet
    ['SET_VRING_NUM', 0, NACK, 0],
    ['SET_VRING_NUM', 257, NACK, 0],
    ['SET_VRING_NUM', 100, OK, 100],
    ['SET_VRING_BASE', 0x8000_8000, OK, 0x8000_8000],
    ['SET_VRING_BASE', 0x0005_0007, OK, 0x0005_0007],
    ['SET_VRING_BASE', 0x8063_0001, OK, 0x8063_0001],
    ['SET_VRING_BASE', 0x8000, OK, 0x8000_8000], // virtio-user
    ['SET_VRING_BASE', 0x8000_8064, NACK, 0x8000_8000],
    ['SET_VRING_BASE', 0x8064_8000, NACK, 0x8000_8000],
    ['SET_VRING_BASE', 0x0007_0005, NACK, 0x8000_8000],
    ['SET_VRING_BASE', 0x8005_0007, NACK, 0x8000_8000],
  ];
  for (const [name, num, answer, kept] of rows) {
    t.equal(await rig.ask(name, { index: 0, num }), answer, `${name} 0x${num.toString(16)}`);
    const { size, base } = rig.session.vring(0);
    t.equal(name === 'SET_VRING_NUM' ? size : base, kept);
  }
  const good = {
    index: 0,
    flags: 0,
    logAddress: 0n,
    descriptorAddress: 0x1000n,
    availableAddress: 0x2000n,
    usedAddress: 0x2004n,
  };
  t.equal(await rig.ask('SET_VRING_ADDR', good), OK);
  t.equal(await rig.ask('SET_VRING_ADDR', { ...good, availableAddress: 0x2002n }), NACK);
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
