// Config space and the back-end channel over the wire.

import t from 'tap';
import { CONFIG_BYTES_MAX } from '../../../../src/core/session/handlers/config-handlers.js';
import { native } from '../../../../src/native/index.js';
import { eventfd, socketPair } from '../../../support/resources.js';
import { SessionRig } from '../../../support/session-rig.js';

const OK = 0n;
const NACK = 1n;

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

t.test('SET_BACKEND_REQ_FD takes a socket, and the next one in its place', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  const event = eventfd();
  rig.device.notices.length = 0;
  t.equal(await rig.ask('SET_BACKEND_REQ_FD', undefined, { fds: [event] }), NACK);
  t.same(rig.device.notices, []);
  const [one, oneEnd] = socketPair();
  t.equal(await rig.ask('SET_BACKEND_REQ_FD', undefined, { fds: [one] }), OK);
  native.fdClose(one);
  const [two, twoEnd] = socketPair();
  t.equal(await rig.ask('SET_BACKEND_REQ_FD', undefined, { fds: [two] }), OK);
  t.same(rig.device.notices, ['channel', 'channel']);
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
