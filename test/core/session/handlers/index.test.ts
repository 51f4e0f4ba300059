// Every request has its handler; questions, and what is refused whole.

import t from 'tap';
import {
  FRONTEND_REQUESTS,
  type FrontendRequestName,
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
} from '../../../../src/core/protocol/index.js';
import { HANDLERS } from '../../../../src/core/session/handlers/index.js';
import { MEM_SLOTS_MAX } from '../../../../src/core/session/handlers/memory-handlers.js';
import { native } from '../../../../src/native/index.js';
import { eventfd } from '../../../support/resources.js';
import { QUEUES, SessionRig } from '../../../support/session-rig.js';

const NACK = 1n;

t.test('every request of the table has a handler', async (t) => {
  t.same(Object.keys(HANDLERS).sort(), FRONTEND_REQUESTS.map(({ name }) => name).sort());
});

t.test('questions', async (t) => {
  const rig = new SessionRig(t);
  const offered = rig.device.features() | VHOST_USER_F_PROTOCOL_FEATURES | VHOST_F_LOG_ALL;
  t.equal(await rig.ask('GET_FEATURES', undefined), offered);
  t.equal(await rig.ask('GET_PROTOCOL_FEATURES', undefined), 0x31f62bn);
  t.equal(await rig.ask('GET_QUEUE_NUM', undefined), BigInt(QUEUES), 'SPDK asks before MQ');
  await rig.negotiate();
  t.equal(await rig.ask('GET_MAX_MEM_SLOTS', undefined), BigInt(MEM_SLOTS_MAX));
  t.equal(await rig.ask('GET_STATUS', undefined), 0n);
});

t.test('what this back-end does not do is refused', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const event = eventfd();
  const rows: readonly (readonly [FrontendRequestName, unknown, number[]])[] = [
    ['GPU_SET_SOCKET', undefined, [event]],
    ['SEND_RARP', 0n, []],
    ['NET_SET_MTU', 1500n, []],
    ['CHECK_DEVICE_STATE', undefined, []],
    ['SET_VRING_ENDIAN', { index: 0, num: 0 }, []],
    ['CLOSE_CRYPTO_SESSION', 0n, []],
  ];
  for (const [name, payload, fds] of rows) {
    t.equal(await rig.ask(name, payload as never, { fds }), NACK, name);
  }
  native.fdClose(event);
});
