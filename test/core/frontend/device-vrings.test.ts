import t from 'tap';
import { DeviceMemory } from '../../../src/core/frontend/device-memory.js';
import { DeviceVrings } from '../../../src/core/frontend/device-vrings.js';
import type { VhostDeviceBackend } from '../../../src/core/frontend/index.js';
import {
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_ACCESS_PLATFORM,
} from '../../../src/core/protocol/index.js';
import { native } from '../../../src/native/index.js';
import { scriptedVhostBackend } from '../../support/scripted-vhost-backend.js';

const REGION = {
  guestAddress: 0x10_0000n,
  userAddress: 0x70_0000n,
  sizeBytes: 0x10_0000n,
  mmapOffsetBytes: 0n,
  mmapHandle: 3,
};
const SETUP = {
  size: 64,
  descTableAddress: 0x10_0000n,
  availRingAddress: 0x10_1000n,
  usedRingAddress: 0x10_2000n,
};

async function vrings(
  t: { teardown(fn: () => void): unknown },
  answers: Partial<VhostDeviceBackend> = {},
) {
  const scripted = scriptedVhostBackend(0n, { setVringEnable: async () => {}, ...answers });
  const memory = new DeviceMemory(scripted.backend);
  await memory.set([REGION]);
  const rings = new DeviceVrings(scripted.backend, memory, { first: 4, count: 2 });
  rings.ackedFeatures = VHOST_USER_F_PROTOCOL_FEATURES;
  t.teardown(() => rings.close());
  scripted.takeNames();
  return { rings, ...scripted };
}

t.test('start and stop, by message', async (t) => {
  const { rings, calls, takeNames } = await vrings(t, { getVringBase: async () => 9 });
  await rings.start([{ ...SETUP, base: 5 }]);
  t.same(
    calls.map(([name, index]) => [name, index]),
    ['Num', 'Base', 'Addr', 'Err', 'Kick', 'Call', 'Enable'].map((what) => [`setVring${what}`, 4]),
  );
  t.same(calls[1], ['setVringBase', 4, 5]);
  t.match(calls[2]?.[2], {
    queueSize: 64,
    flags: 0,
    descTableAddress: 0x70_0000n,
    availRingAddress: 0x70_1000n,
    usedRingAddress: 0x70_2000n,
  });
  takeNames();
  t.same(await rings.stop(), { bases: [9], failure: undefined });
  t.same(takeNames(), ['setVringEnable', 'getVringBase'], 'disabled first');
  t.equal(rings.queue(0).base, 9, 'where the next start goes on');
});

t.test('the trait alone: nothing to enable', async (t) => {
  const { rings, takeNames } = await vrings(t);
  rings.ackedFeatures = 0n;
  await rings.start([SETUP]);
  t.notOk(takeNames().includes('setVringEnable'));
});

t.test('with an IOMMU addresses go as they are', async (t) => {
  const { rings, calls } = await vrings(t);
  rings.ackedFeatures = VIRTIO_F_ACCESS_PLATFORM;
  await rings.start([{ ...SETUP, descTableAddress: 0x10n }]);
  t.match(calls[2]?.[2], { descTableAddress: 0x10n });
  const direct = await vrings(t);
  const failed = direct.rings.start([{ ...SETUP, descTableAddress: 0x10n }]);
  await t.rejects(failed, { code: 'INVALID_QUEUE' }, 'without one it is no memory');
});

t.test('a back-end that has gone', async (t) => {
  const { rings } = await vrings(t, { getVringBase: () => Promise.reject(new Error('gone')) });
  await rings.start([
    { ...SETUP, usedIndex: () => 77 },
    { ...SETUP, base: 3 },
  ]);
  t.match(await rings.stop(), { bases: [77, 3], failure: { message: 'gone' } });
});

t.test('masking', async (t) => {
  const { rings, calls } = await vrings(t);
  const queue = rings.queue(1);
  await rings.mask(1, false);
  await rings.mask(1, true);
  t.same(calls, [
    ['setVringCall', 5, queue.callFd],
    ['setVringCall', 5, queue.maskedFd],
  ]);
  for (const index of [-1, 2, 0.5]) {
    t.throws(() => rings.queue(index), { code: 'INVALID_QUEUE' });
  }
});

t.test('logging: on, taken, off', async (t) => {
  let theirs = new Uint8Array(0);
  const { rings, calls, takeNames } = await vrings(t, {
    setLogBase: async (base, fd) => {
      const { mmapSizeBytes } = base as { mmapSizeBytes: bigint };
      const mapped = native.mapShared(fd as number, 0, Number(mmapSizeBytes));
      theirs = new Uint8Array(mapped as ArrayBuffer);
    },
  });
  await rings.start([SETUP]);
  takeNames();
  await rings.startLog();
  t.same(
    calls.map(([name]) => name),
    ['setLogBase', 'setFeatures', 'setVringAddr'],
  );
  t.ok((calls[1]?.[1] as bigint) & VHOST_F_LOG_ALL);
  t.match(calls[2]?.[2], { flags: 1, logAddress: SETUP.usedRingAddress });
  await t.rejects(rings.startLog(), { code: 'INVALID_OPERATION' }, 'twice');
  theirs[0x102 >> 3] = 1 << (0x102 & 7);
  t.same(rings.takeLog(), [0x10_2000n]);
  theirs[0] = 1;
  calls.splice(0);
  t.same(await rings.stopLog(), [0n]);
  t.same(calls[0], ['setFeatures', VHOST_USER_F_PROTOCOL_FEATURES]);
  t.match(calls[1]?.[2], { flags: 0 });
  t.same([rings.takeLog(), await rings.stopLog()], [[], []], 'no log');
});

t.test('a log the back-end refuses', async (t) => {
  const { rings } = await vrings(t, { setLogBase: () => Promise.reject(new Error('no')) });
  await t.rejects(rings.startLog(), { message: 'no' });
  t.equal(rings.featuresToSet & VHOST_F_LOG_ALL, 0n);
});
