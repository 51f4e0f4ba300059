// Features, status and reset over the wire.

import t from 'tap';
import {
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from '../../../../src/core/protocol/index.js';
import { SessionRig } from '../../../support/session-rig.js';
import { TinyRing } from '../../../support/tiny-ring.js';

const OK = 0n;
const NACK = 1n;

t.test('SET_FEATURES (CS-050, CS-051)', async (t) => {
  const version1 = VIRTIO_F_VERSION_1;
  const rows: readonly (readonly [features: bigint, answer: bigint])[] = [
    [version1, OK],
    [version1 | 1n | VIRTIO_F_RING_EVENT_IDX | VHOST_USER_F_PROTOCOL_FEATURES, OK],
    [version1 | 2n, NACK],
    [version1 | VHOST_F_LOG_ALL, OK],
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
    const eventIdx = (features & VIRTIO_F_RING_EVENT_IDX) !== 0n;
    t.same(rig.device.notices, answer === OK ? [`event idx ${eventIdx}`] : []);
    const told = (features & ~VHOST_F_LOG_ALL).toString(16);
    t.same(rig.device.calls, answer === OK ? [`acked ${told}`] : []);
    const enabled = answer === OK && (features & VHOST_USER_F_PROTOCOL_FEATURES) === 0n;
    t.equal(rig.session.vring(1).enabled, enabled, 'enabled from the start without bit 30');
  }
});

t.test('SET_PROTOCOL_FEATURES (CS-053)', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const good = rig.session.protocolFeatures;
  for (const bit of [2n, 11n, 22n, 63n]) {
    t.equal(await rig.ask('SET_PROTOCOL_FEATURES', good | (1n << bit)), NACK, `bit ${bit}`);
  }
  t.equal(rig.session.protocolFeatures, good);
});

t.test('status and reset (CS-057)', async (t) => {
  const rig = new SessionRig(t);
  rig.send('SET_PROTOCOL_FEATURES', 0x1a22bn);
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

t.test('a session that starts again on its connection has no memory yet', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const ring = new TinyRing();
  t.teardown(() => ring.close());
  const { fd, ...region } = ring.region;
  t.equal(await rig.ask('ADD_MEM_REG', region, { fds: [fd] }), OK);
  t.equal(await rig.ask('SET_OWNER', undefined), OK);
  t.equal(rig.session.memory.regionCount, 1, 'a front-end may set its memory first');
  await rig.startVring(ring);
  t.equal(await rig.ask('SET_OWNER', undefined), OK);
  t.equal(rig.session.memory.regionCount, 1, 'a vring that runs keeps it');
  await rig.ask('GET_VRING_BASE', { index: 0, num: 0 });
  t.equal(await rig.ask('SET_OWNER', undefined), OK);
  t.equal(rig.session.memory.regionCount, 0);
  t.equal(await rig.ask('ADD_MEM_REG', region, { fds: [fd] }), OK, 'the same region again');
});
