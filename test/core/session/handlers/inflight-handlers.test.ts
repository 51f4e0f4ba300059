// The inflight area over the wire; with a real device it is in e2e/inflight.test.ts.

import t from 'tap';
import {
  HEADER_BYTES,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
} from '../../../../src/core/protocol/index.js';
import { native } from '../../../../src/native/index.js';
import { eventfd, memfd, openDescriptors } from '../../../support/resources.js';
import { QUEUE_SIZE_MAX, QUEUES, SessionRig } from '../../../support/session-rig.js';

const OK = 0n;
const NACK = 1n;
const AREA = {
  mmapSizeBytes: 4224n,
  mmapOffsetBytes: 0n,
  queueCount: 2,
  queueSize: 128,
  encodedBytes: 20,
} as const;

t.test('GET_INFLIGHT_FD answers as long as it was asked', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  for (const encodedBytes of [20, 24] as const) {
    rig.send('GET_INFLIGHT_FD', { ...AREA, mmapSizeBytes: 0n, encodedBytes });
    const reply = await rig.reply('GET_INFLIGHT_FD');
    t.same(reply?.payload, { ...AREA, encodedBytes });
    t.equal(reply?.bytes.byteLength, HEADER_BYTES + encodedBytes);
  }
});

t.test('CS-150: no area for queues the device does not have', async (t) => {
  for (const values of [
    { queueCount: 0 },
    { queueCount: QUEUES + 1 },
    { queueSize: 0 },
    { queueSize: QUEUE_SIZE_MAX + 1 },
  ]) {
    const rig = new SessionRig(t);
    await rig.negotiate();
    t.equal(await rig.ask('GET_INFLIGHT_FD', { ...AREA, ...values }), undefined, 'closed');
    t.match(rig.lines.join(), /the inflight area is invalid/);
    await rig.close();
  }
});

t.test('SET_INFLIGHT_FD: taken, replaced, refused', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const fd = memfd(8192);
  const event = eventfd();
  const before = openDescriptors();
  t.equal(rig.session.recordsInflight, false);
  t.equal(await rig.ask('SET_INFLIGHT_FD', AREA, { fds: [event] }), NACK, 'no memory');
  t.match(rig.lines.join(), /no regular file or memfd/);
  t.equal(await rig.ask('SET_INFLIGHT_FD', { ...AREA, queueCount: 3 }, { fds: [fd] }), NACK);
  t.equal(rig.session.recordsInflight, false, 'a refusal changes nothing');
  for (const encodedBytes of [20, 24] as const) {
    t.equal(await rig.ask('SET_INFLIGHT_FD', { ...AREA, encodedBytes }, { fds: [fd] }), OK);
    t.equal(rig.session.recordsInflight, true);
  }
  t.equal(openDescriptors(), before);
  native.fdClose(fd);
  native.fdClose(event);
});

t.test('CS-055: suspending needs an area to suspend to', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const alone = VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT;
  t.equal(await rig.ask('SET_PROTOCOL_FEATURES', alone), NACK);
  t.match(rig.lines.join(), /GET_VRING_BASE_INFLIGHT without INFLIGHT_SHMFD/);
});
