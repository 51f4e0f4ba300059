// Config space and the back-end channel over the wire.

import t from 'tap';
import { encodeReply } from '../../../../src/core/protocol/index.js';
import { CONFIG_BYTES_MAX } from '../../../../src/core/session/handlers/config-handlers.js';
import { native } from '../../../../src/native/index.js';
import { eventfd } from '../../../support/resources.js';
import { RecordingDevice, SessionRig } from '../../../support/session-rig.js';
import { TinyRing } from '../../../support/tiny-ring.js';

const CONFIG_CHANGE = 2;
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
  native.fdClose(event);
  const ring = new TinyRing();
  t.teardown(() => ring.close());
  await rig.startVring(ring);
  const first = await rig.openChannel(t);
  const none = 'no answer will come the old way';
  const waiting = t.rejects(rig.host.backend.configChanged(), { code: 'CHANNEL_LOST' }, none);
  t.equal((await first.message())?.[0], CONFIG_CHANGE);
  const second = await rig.openChannel(t);
  await waiting;
  t.ok(await first.ended());
  const answered = rig.host.backend.configChanged();
  t.equal((await second.message())?.[0], CONFIG_CHANGE);
  second.send(encodeReply(CONFIG_CHANGE, new Uint8Array(8)));
  await answered;
});

t.test('a config change waits for a vring that runs', async (t) => {
  const rig = new SessionRig(t);
  await rig.host.backend.configChanged();
  await rig.negotiate();
  const channel = await rig.openChannel(t);
  await rig.host.backend.configChanged();
  t.ok(await channel.quiet(), 'suspended: nothing is sent');
  const ring = new TinyRing();
  t.teardown(() => ring.close());
  await rig.startVring(ring);
  t.equal((await channel.message())?.[0], CONFIG_CHANGE);
  channel.send(encodeReply(CONFIG_CHANGE, new Uint8Array(8)));
  t.ok(await channel.quiet(), 'told once');
});

t.test('a device that waits for the channel in a hook stops nothing for good', async (t) => {
  const device = new RecordingDevice();
  const rig = new SessionRig(t, { device, channelReplyTimeoutMs: 50 });
  device.setConfig = () => rig.host.backend.configChanged();
  await rig.negotiate();
  const ring = new TinyRing();
  t.teardown(() => ring.close());
  await rig.startVring(ring);
  const channel = await rig.openChannel(t);
  // As QEMU does: the channel is looked at only when the main channel has answered.
  const bytes = new Uint8Array(1);
  t.equal(await rig.ask('SET_CONFIG', { offset: 4, flags: 0, bytes }), NACK);
  t.equal((await channel.message())?.[0], CONFIG_CHANGE);
  t.equal(await rig.ask('SET_OWNER', undefined), OK);
});
