// SET_LOG_BASE and SET_LOG_FD over the wire.

import t from 'tap';
import {
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../../../src/core/protocol/index.js';
import { native } from '../../../../src/native/index.js';
import { eventfd, memfd } from '../../../support/resources.js';
import { SessionRig } from '../../../support/session-rig.js';
import { TinyRing } from '../../../support/tiny-ring.js';

const OK = 0n;
const NACK = 1n;
const LOG_BYTES = 4096;

const area = (mmapSizeBytes = BigInt(LOG_BYTES), mmapOffsetBytes = 0n) =>
  ({ form: 'area', mmapSizeBytes, mmapOffsetBytes }) as const;

t.test('areas (CS-130, CS-131)', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const ring = new TinyRing();
  const { fd: memory, ...region } = ring.region;
  await rig.ask('SET_MEM_TABLE', { regions: [region] }, { fds: [memory] });
  const file = memfd(LOG_BYTES);
  const event = eventfd();
  const rows = [
    [area(4n), file, OK, 'a bit for each page and no more'],
    [area(), file, OK, 'whole file'],
    [area(3n), file, NACK, 'too small for the memory'],
    [area(0n), file, NACK, 'size 0'],
    [area(4096n, 1n), file, NACK, 'offset off a page'],
    [area(8192n, 2n ** 64n - 4096n), file, NACK, 'sum wraps'],
    [area(4097n), file, NACK, 'longer than the file'],
    [area(), event, NACK, 'an eventfd'],
  ] as const;
  for (const [payload, fd, answer, what] of rows) {
    // Answered without NEED_REPLY too.
    t.equal(await rig.ask('SET_LOG_BASE', payload, { fds: [fd], needReply: false }), answer, what);
    t.equal(rig.session.dirtyLog.mapped, true, 'a refusal changes nothing');
  }
  const used = { index: 0, ...ring.addresses };
  const rings = [
    [{ ...used, flags: 1, logAddress: 0x1_0000n }, OK],
    [{ ...used, flags: 1, logAddress: 2n ** 64n - 8n }, NACK],
    [{ ...used, flags: 0, logAddress: 2n ** 64n - 8n }, OK],
    [{ ...used, flags: 1, logAddress: 0x1f_fff0n }, OK],
  ] as const;
  for (const [payload, answer] of rings) {
    t.equal(await rig.ask('SET_VRING_ADDR', payload), answer, `CS-109: ${payload.logAddress}`);
  }
  t.equal(await rig.ask('SET_LOG_BASE', area(4n), { fds: [file] }), NACK, 'the used ring outside');
  native.fdClose(file);
  native.fdClose(event);
  ring.close();
});

t.test('without LOG_SHMFD there is no area (CS-053)', async (t) => {
  const rig = new SessionRig(t);
  rig.send('SET_PROTOCOL_FEATURES', VHOST_USER_PROTOCOL_F_REPLY_ACK);
  t.equal(await rig.ask('SET_LOG_BASE', area()), NACK);
  t.equal(await rig.ask('SET_LOG_BASE', { form: 'address', address: 0n }), NACK);
  rig.send(
    'SET_PROTOCOL_FEATURES',
    VHOST_USER_PROTOCOL_F_REPLY_ACK | VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  );
  t.equal(await rig.ask('SET_LOG_BASE', { form: 'address', address: 0n }), NACK);
  t.equal(rig.session.dirtyLog.mapped, false);
});

t.test('SET_LOG_FD takes an eventfd (CS-132)', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const file = memfd(4096);
  const event = eventfd();
  t.equal(await rig.ask('SET_LOG_FD', undefined, { fds: [file] }), NACK);
  t.equal(await rig.ask('SET_LOG_FD', undefined, { fds: [event] }), OK);
  t.equal(await rig.ask('SET_LOG_FD', undefined, { fds: [event] }), OK, 'and another');
  native.fdClose(file);
  native.fdClose(event);
});
