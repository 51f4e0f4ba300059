// What a device may ask of the front-end, over the wire.

import t, { type Test } from 'tap';
import {
  encodeReply,
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
} from '../../../src/core/protocol/index.js';
import { SessionBackendRequests } from '../../../src/core/session/backend-requests.js';
import { native } from '../../../src/native/index.js';
import { HookDevice } from '../../support/hook-device.js';
import type { Peer } from '../../support/peer.js';
import { eventfd, memfd, openDescriptors } from '../../support/resources.js';
import { SessionRig } from '../../support/session-rig.js';
import { TinyRing } from '../../support/tiny-ring.js';
import { toHex } from '../protocol/hex.js';

const UUID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const MAPPING = {
  shmemId: 3,
  shmemOffsetBytes: 4096n,
  fdOffsetBytes: 8192n,
  lengthBytes: 4096n,
  writable: true,
};

async function open(t: Test) {
  const rig = new SessionRig(t, { device: new HookDevice() });
  await rig.negotiate();
  const ring = new TinyRing();
  t.teardown(() => ring.close());
  await rig.startVring(ring);
  const channel = await rig.openChannel(t);
  return { rig, channel, backend: rig.host.backend };
}

/** Takes the request that is there and answers it; its payload in hex. */
async function answer(peer: Peer, value = 0, fds: readonly number[] = []): Promise<string> {
  const bytes = (await peer.message()) ?? new Uint8Array(12);
  peer.send(encodeReply(bytes[0] as number, Uint8Array.of(value, 0, 0, 0, 0, 0, 0, 0)), fds);
  return `${bytes[0]} ${toHex(bytes.subarray(12))}`;
}

t.test('each request, its bytes and its answer', async (t) => {
  const { channel, backend } = await open(t);
  const fd = memfd(16384);
  const page = { fd, offsetBytes: 4096n, sizeBytes: 4096n };
  const uuid = toHex(UUID);
  const u64 = (bytes: string) => bytes.padEnd(16, '0');
  const rows: readonly (readonly [() => Promise<unknown>, string, fd: boolean])[] = [
    [() => backend.configChanged(), '2 ', false],
    [() => backend.sharedObjectAdd(UUID), `6 ${uuid}`, false],
    [() => backend.sharedObjectRemove(UUID), `7 ${uuid}`, false],
    [() => backend.hostNotifier(1, page), `3 ${u64('01')}${u64('0010')}${u64('0010')}`, true],
    [() => backend.hostNotifier(1, undefined), `3 ${u64('0101')}${u64('')}${u64('')}`, false],
    [
      () => backend.shmemMap(MAPPING, fd),
      `9 ${u64('03')}${u64('0020')}${u64('0010')}${u64('0010')}${u64('01')}`,
      true,
    ],
    [
      () => backend.shmemMap({ ...MAPPING, writable: false }, fd),
      `9 ${u64('03')}${u64('0020')}${u64('0010')}${u64('0010')}${u64('')}`,
      true,
    ],
    [
      () => backend.shmemUnmap(MAPPING),
      `10 ${u64('03')}${u64('')}${u64('0010')}${u64('0010')}${u64('')}`,
      false,
    ],
  ];
  for (const [ask, expected, hasFd] of rows) {
    for (const refusal of [0, 1]) {
      const outcome = ask().then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
      t.equal(await answer(channel, refusal), expected);
      t.equal(await outcome, refusal === 0 ? 'done' : 'PEER_REFUSED', expected);
      const came = channel.takeFd();
      t.equal(came !== undefined, hasFd, 'descriptor');
      if (came !== undefined) {
        native.fdClose(came);
      }
    }
  }
  native.fdClose(fd);
});

t.test('looking an object up', async (t) => {
  const { channel, backend } = await open(t);
  const before = openDescriptors();
  const fd = eventfd(5);
  const found = backend.sharedObjectLookup(UUID);
  t.equal(await answer(channel, 0, [fd]), `8 ${toHex(UUID)}`);
  const got = (await found) as number;
  t.equal(native.eventfdRead(got), 5);
  native.fdClose(got);
  const unknown = backend.sharedObjectLookup(UUID);
  await answer(channel, 2);
  t.equal(await unknown, undefined);
  native.fdClose(fd);
  t.equal(openDescriptors(), before);
});

t.test('what a device can not ask', async (t) => {
  const { rig, backend } = await open(t);
  const fd = memfd(4096);
  const odd = { ...MAPPING, lengthBytes: 100n };
  await t.rejects(backend.shmemMap(odd, fd), RangeError);
  await t.rejects(backend.shmemUnmap({ ...odd, lengthBytes: 1n }), RangeError);
  const page = { fd, offsetBytes: 1n, sizeBytes: 4096n };
  await t.rejects(backend.hostNotifier(0, page), RangeError);
  await t.rejects(backend.sharedObjectAdd(new Uint8Array(16)), { code: 'PAYLOAD_VALUE' });
  await t.rejects(backend.sharedObjectLookup(new Uint8Array(3)), { code: 'PAYLOAD_SIZE' });
  native.fdClose(fd);
  rig.send('RESET_DEVICE', undefined);
  t.equal(await rig.ask('SET_OWNER', undefined), 0n);
  await t.rejects(backend.sharedObjectAdd(UUID), { code: 'SESSION_STATE' }, 'suspended');
  const none = new SessionBackendRequests(() => undefined);
  await none.configChanged();
  await t.rejects(none.sharedObjectLookup(UUID), { code: 'CHANNEL_MISSING' });
});

t.test('what was not negotiated, or has no channel, is not asked', async (t) => {
  const rig = new SessionRig(t, { device: new HookDevice() });
  const { backend } = rig.host;
  await t.rejects(backend.sharedObjectAdd(UUID), { code: 'NOT_NEGOTIATED' });
  await rig.negotiate();
  await t.rejects(backend.sharedObjectAdd(UUID), { code: 'CHANNEL_MISSING' });
  const ring = new TinyRing();
  t.teardown(() => ring.close());
  await rig.startVring(ring);
  const channel = await rig.openChannel(t);
  const all = rig.session.protocolFeatures;
  const fd = memfd(4096);
  const mapping = { ...MAPPING, fdOffsetBytes: 0n };
  for (const [missing, ask] of [
    [VHOST_USER_PROTOCOL_F_SHARED_OBJECT, () => backend.sharedObjectAdd(UUID)],
    [VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD, () => backend.shmemMap(mapping, fd)],
  ] as const) {
    await rig.ask('SET_PROTOCOL_FEATURES', all & ~missing);
    await t.rejects(ask(), { code: 'NOT_NEGOTIATED' });
  }
  native.fdClose(fd);
  t.ok(await channel.quiet());
  const needReplyAck = VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS;
  rig.send('SET_PROTOCOL_FEATURES', all & ~VHOST_USER_PROTOCOL_F_REPLY_ACK & ~needReplyAck);
  await rig.ask('GET_FEATURES', undefined);
  await backend.sharedObjectAdd(UUID);
  t.equal((await channel.message())?.[4], 1, 'without REPLY_ACK nobody waits');
});
