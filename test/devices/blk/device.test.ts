import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { DeviceHost } from '../../../src/core/device.js';
import { readState, writeState } from '../../../src/core/device-state/state-pipe.js';
import { VIRTIO_F_VERSION_1 } from '../../../src/core/protocol/index.js';
import { SessionBackendRequests } from '../../../src/core/session/backend-requests.js';
import { BlkDevice } from '../../../src/devices/blk/device.js';
import {
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
} from '../../../src/devices/blk/format.js';
import { type BlkOptions, blkOptionsSchema } from '../../../src/devices/blk/options.js';
import { native } from '../../../src/native/index.js';
import { openDescriptors, socketPair, temporaryDirectory } from '../../support/resources.js';

const FLUSH = VIRTIO_BLK_F_FLUSH;
const WCE = VIRTIO_BLK_F_CONFIG_WCE;

function open(t: Test, options: Partial<BlkOptions> = {}, bytes = 1 << 20) {
  const image = join(temporaryDirectory(t), 'disk');
  writeFileSync(image, Buffer.alloc(bytes));
  const device = new BlkDevice(blkOptionsSchema.parse({ image, ...options }));
  t.teardown(() => device.close());
  return { device, image };
}

const writeback = (device: BlkDevice) => device.getConfig(32, 1)[0];

t.test('features', async (t) => {
  t.equal(open(t).device.features(), 0x105_3000_7e44n);
  t.equal(open(t, { inOrder: true }).device.features(), 0x10d_3000_7e44n);
  const { device } = open(t, { readOnly: true });
  t.equal(device.features(), 0x105_3000_1e64n);
  t.equal(device.features() & VIRTIO_BLK_F_RO, VIRTIO_BLK_F_RO);
});

t.test('config space', async (t) => {
  const { device } = open(t, { numQueues: 4, queueSize: 64, blockSize: 1024 }, (1 << 20) + 1023);
  const view = new DataView(device.getConfig(0, 60).buffer);
  t.equal(view.getBigUint64(0, true), 2048n, 'whole blocks');
  t.same([view.getUint32(12, true), view.getUint32(20, true)], [62, 1024], 'seg_max, blk_size');
  t.same([view.getUint8(24), view.getUint16(34, true)], [2, 4], 'physical exponent, queues');
  const lengths = [
    [0, 60, 60],
    [0, 256, 60],
    [56, 8, 4],
    [60, 8, 0],
    [200, 8, 0],
  ] as const;
  for (const [offset, size, length] of lengths) {
    t.equal(device.getConfig(offset, size).byteLength, length, `${offset} + ${size}`);
  }
});

t.test('the write cache follows features and option (§5.2.5)', async (t) => {
  const rows: readonly (readonly [cache: BlkOptions['cache'], features: bigint, mode: number])[] = [
    ['writeback', 0n, 1],
    ['writeback', FLUSH, 1],
    ['writeback', FLUSH | WCE, 1],
    ['writeback', WCE, 0],
    ['writeback', VIRTIO_F_VERSION_1, 0],
    ['writethrough', 0n, 0],
    ['writethrough', FLUSH | WCE, 0],
  ];
  for (const [cache, features, mode] of rows) {
    const { device } = open(t, { cache });
    await device.ackedFeatures(features);
    t.equal(writeback(device), mode, `${cache} 0x${features.toString(16)}`);
  }
});

t.test('who may write what of the config (CS-141)', async (t) => {
  const rows: readonly (readonly [
    features: bigint,
    offset: number,
    bytes: number[],
    'driver' | 'migration',
    fine: boolean,
  ])[] = [
    [FLUSH | WCE, 32, [0], 'driver', true],
    [FLUSH | WCE, 32, [2], 'driver', false],
    [FLUSH | WCE, 32, [255], 'driver', false],
    [FLUSH, 32, [0], 'driver', false],
    [FLUSH, 32, [0], 'migration', true],
    [FLUSH | WCE, 32, [0, 0], 'driver', false],
    [FLUSH | WCE, 31, [0], 'driver', false],
    [FLUSH | WCE, 31, [0, 0], 'driver', false],
    [FLUSH | WCE, 0, [0], 'migration', false],
  ];
  for (const [features, offset, bytes, reason, fine] of rows) {
    const { device } = open(t);
    await device.ackedFeatures(features);
    const what = `${offset} [${bytes}] ${reason}`;
    const written = device.setConfig(offset, Uint8Array.from(bytes), reason);
    if (fine) {
      await written;
      t.equal(writeback(device), 0, what);
      await device.ackedFeatures(features);
      t.equal(writeback(device), 0, 'the same features again keep the choice');
      await device.ackedFeatures(features | VIRTIO_F_VERSION_1);
      t.equal(writeback(device), 1, 'others begin anew');
    } else {
      await t.rejects(written, { code: 'CONFIG_READ_ONLY' }, what);
      t.equal(writeback(device), 1, what);
    }
  }
  const { device } = open(t);
  await device.ackedFeatures(WCE);
  await device.resetDevice();
  t.equal(writeback(device), 1, 'a reset is back to the start');
});

t.test('a grown image is told of, a smaller one not (BK-030)', async (t) => {
  const { device, image } = open(t);
  let told = 0;
  device.attach({
    backend: new SessionBackendRequests(() => undefined),
    configChanged: () => {
      told++;
    },
    tellHandlers: async () => {},
  } as Partial<DeviceHost> as DeviceHost);
  t.equal(device.refresh(), false);
  truncateSync(image, 2 << 20);
  t.equal(device.refresh(), true);
  t.equal(device.capacityBytes, 2 << 20);
  truncateSync(image, 4096);
  t.equal(device.refresh(), false);
  t.same([device.capacityBytes, told], [2 << 20, 1]);
});

t.test('images that hold nothing', async (t) => {
  const before = openDescriptors();
  for (const bytes of [0, 511]) {
    t.throws(() => open(t, {}, bytes), { name: 'ImageError', message: /less than one block/ });
  }
  t.throws(() => open(t, { blockSize: 4096 }, 4095), { name: 'ImageError' });
  t.equal(openDescriptors(), before);
});

t.test('the data half gets what it needs, and no more crosses a thread', async (t) => {
  const { device } = open(t, { readOnly: true, serial: 's' });
  const { moduleUrl, options } = device.dataHalf();
  t.match(moduleUrl, /handler\.js$/);
  t.match(structuredClone(options), {
    readOnly: true,
    directAlign: 0,
    blockBytes: 512,
    serial: 's',
  });
});

/** Carries the state of one disk to another, changed on its way. */
async function migrate(
  from: BlkDevice,
  to: BlkDevice,
  change = (bytes: Uint8Array) => bytes,
): Promise<void> {
  const [end, start] = socketPair();
  const [out, into] = socketPair();
  await from.setDeviceState('save', start);
  native.fdClose(start);
  await writeState(into, change(await readState(end, 1024)));
  native.fdClose(into);
  try {
    await to.setDeviceState('load', out);
  } finally {
    native.fdClose(end);
    native.fdClose(out);
  }
}

t.test('the write cache mode goes along in a migration', async (t) => {
  const source = open(t).device;
  await source.ackedFeatures(FLUSH | WCE);
  await source.setConfig(32, Uint8Array.of(0), 'driver');
  // Features come after the state here, before it there: the mode is the driver's either way.
  const after = open(t).device;
  await migrate(source, after);
  t.equal(writeback(after), 0);
  await after.ackedFeatures(FLUSH | WCE);
  t.equal(writeback(after), 0);
  await after.setConfig(32, Uint8Array.of(1), 'driver');
  t.equal(writeback(after), 1, 'the driver may still change it');
  await after.resetDevice();
  t.equal(writeback(after), 1);

  const before = open(t, { cache: 'writethrough' }).device;
  await before.ackedFeatures(FLUSH | WCE);
  await migrate(after, before);
  t.equal(writeback(before), 1);
  await before.resetDevice();
  t.equal(writeback(before), 0, 'a reset takes it back');

  const noFlush = open(t).device;
  await noFlush.ackedFeatures(WCE);
  await migrate(after, noFlush);
  t.equal(writeback(noFlush), 0, 'a driver without FLUSH is never left without durability');
});

t.test('hostile state changes nothing', async (t) => {
  const source = open(t).device;
  const target = open(t, { cache: 'writethrough' }).device;
  for (const change of [
    () => new Uint8Array(0),
    (bytes: Uint8Array) => bytes.slice(1),
    (bytes: Uint8Array) => bytes.with(12, 7),
    () => new Uint8Array(1000),
  ]) {
    await t.rejects(migrate(source, target, change));
    t.equal(writeback(target), 0);
  }
});
