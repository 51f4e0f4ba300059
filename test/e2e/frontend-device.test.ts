// VhostDevice and VhostUserFrontend against our own daemon: the life cycle of QEMU's vhost device.

import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { SharedMemory, VhostDevice, VhostUserFrontend } from '../../src/core/frontend/index.js';
import {
  hasFeature,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
} from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { BlkDriver, DaemonProcess, signalled } from '../../src/testing/index.js';
import { DeviceRig } from '../support/device-rig.js';
import { temporaryDirectory } from '../support/resources.js';
import { IMAGE_BYTES, makeFile, withDaemon } from './support.js';

const FLUSH = 1n << 9n;
const CAPACITY_BYTES = 8;
const pattern = (bytes: number, seed: number) =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + seed) & 0xff);
const capacity = (config: Uint8Array) => Buffer.from(config).readBigUInt64LE() * 512n;

t.test('init, start, I/O, stop, start again, cleanup', async (t) => {
  await withDaemon(t, ['--num-queues', '2'], async ({ daemon }) => {
    const rig = await DeviceRig.connect({
      socket: daemon.socket,
      queueCount: 2,
      driverFeatures: FLUSH,
      device: { queueNumMin: 2 },
    });
    const { device } = rig;
    t.ok(device.queueNum >= 2, 'GET_QUEUE_NUM');
    t.ok(hasFeature(device.ackedFeatures, FLUSH), 'acknowledged');
    t.equal(capacity(await device.getConfig(CAPACITY_BYTES)), BigInt(IMAGE_BYTES));
    await rig.start();
    await t.rejects(rig.start(), { code: 'INVALID_OPERATION' }, 'started already');
    t.throws(() => device.disableNotifiers(), { code: 'INVALID_OPERATION' });
    const driver = new BlkDriver(rig);
    await driver.write(8, pattern(8192, 1));
    await driver.flush();
    const bases = await device.stop();
    t.same(
      bases,
      rig.rings.map(({ availIndex }) => availIndex),
      'where each queue stopped',
    );
    await t.rejects(device.stop(), { code: 'INVALID_OPERATION' }, 'stopped already');
    await rig.start();
    t.same(await driver.read(8, 8192), pattern(8192, 1), 'goes on where it stopped');
    await rig.stop();
  });
});

t.test('too few queues, and queues that are not there', async (t) => {
  await withDaemon(t, [], async ({ daemon }) => {
    const backend = VhostUserFrontend.connect(daemon.socket);
    const init = VhostDevice.init({ backend, queueCount: 1, queueNumMin: 99 });
    await t.rejects(init, { code: 'INVALID_OPERATION', message: /needed 99/ });
    backend.close();
    const rig = await DeviceRig.connect({ socket: daemon.socket, queueCount: 1 });
    await t.rejects(rig.device.virtqueueMask(1, true), { code: 'INVALID_QUEUE' });
    rig.close();
  });
});

t.test('a masked queue keeps its calls for later', async (t) => {
  await withDaemon(t, [], async ({ daemon }) => {
    const rig = await DeviceRig.connect({ socket: daemon.socket });
    await rig.start();
    const driver = new BlkDriver(rig);
    await driver.read(0, 512);
    await rig.device.virtqueueMask(0, true);
    // The back-end signals a new call descriptor once; that is not the call to be seen here.
    t.ok(await signalled(rig.device.queues[0]?.maskedFd as number), 'signalled on receipt');
    t.equal(rig.device.virtqueuePending(0), false);
    native.eventfdRead(rig.queue(0).callFd);
    const read = driver.read(0, 512);
    t.equal(await signalled(rig.device.queues[0]?.maskedFd as number), true, 'kept');
    t.ok(native.eventfdRead(rig.queue(0).callFd) <= 0, 'the driver sees nothing');
    await rig.device.virtqueueMask(0, false);
    await read;
    await rig.stop();
  });
});

t.test('memory comes and goes by slots', async (t) => {
  await withDaemon(t, [], async ({ daemon }) => {
    const rig = await DeviceRig.connect({ socket: daemon.socket });
    await rig.start();
    const { device } = rig;
    const free = device.freeMemorySlots;
    const extra = new SharedMemory({
      sizeBytes: 1 << 20,
      guestBase: 0x9000_0000n,
      userBase: 0x7e00_0000_0000n,
    });
    const region = { ...extra.region, mmapHandle: extra.fd };
    await device.addMemory(region);
    t.equal(device.freeMemorySlots, free - 1);
    await t.rejects(device.addMemory(region), { code: 'INVALID_GUEST_MEMORY' }, 'it overlaps');
    await device.removeMemory(region);
    t.equal(device.freeMemorySlots, free);
    t.equal((await new BlkDriver(rig).read(0, 512)).byteLength, 512, 'I/O goes on');
    await rig.stop();
    extra.close();
  });
});

t.test('the same without slots: SET_MEM_TABLE', async (t) => {
  await withDaemon(t, [], async ({ daemon }) => {
    const rig = await DeviceRig.connect({
      socket: daemon.socket,
      device: { withoutProtocolFeatures: VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
    });
    await rig.start();
    t.equal(rig.device.freeMemorySlots, 7, 'eight descriptors a message');
    t.equal((await new BlkDriver(rig).read(0, 512)).byteLength, 512);
    await rig.stop();
  });
});

t.test('a config change reaches its notifier', async (t) => {
  await withDaemon(t, [], async ({ daemon, image }) => {
    const rig = await DeviceRig.connect({ socket: daemon.socket });
    await rig.start();
    const changed = new Promise<bigint>((resolve) => {
      rig.device.setConfigNotifier(async () => {
        resolve(capacity(await rig.device.getConfig(CAPACITY_BYTES)));
      });
    });
    truncateSync(image, IMAGE_BYTES * 2);
    daemon.signal('SIGHUP');
    t.equal(await changed, BigInt(IMAGE_BYTES * 2));
    await rig.stop();
  });
});

t.test('calls that overlap keep their order and their replies', async (t) => {
  await withDaemon(t, [], async ({ daemon }) => {
    const rig = await DeviceRig.connect({ socket: daemon.socket });
    const backend = rig.device.backend as VhostUserFrontend;
    const calls = Array.from({ length: 30 }, (_, i) => [
      backend.getConfig(0, 8 + i),
      backend.getFeatures(),
      backend.setVringNum(0, 3).catch(({ code }) => code),
    ]);
    for (const [i, [config, features, refused]] of calls.entries()) {
      t.equal(((await config) as Uint8Array).byteLength, 8 + i);
      t.equal(await features, rig.device.features);
      t.equal(await refused, 'PEER_REFUSED');
    }
    rig.close();
  });
});

t.test('a back-end that dies: memory says where to go on', async (t) => {
  const directory = temporaryDirectory(t);
  const image = join(directory, 'disk.img');
  makeFile(image, IMAGE_BYTES);
  const daemon = await DaemonProcess.blk(join(directory, 's'), ['--image', image]);
  t.teardown(() => daemon.stop());
  const rig = await DeviceRig.connect({ socket: daemon.socket });
  await rig.start();
  await new BlkDriver(rig).write(0, pattern(512, 2));
  daemon.signal('SIGKILL');
  await daemon.exited;
  await t.rejects(rig.device.stop(), { code: 'PEER_CLOSED' });
  t.equal(rig.device.queues[0]?.base, rig.rings[0]?.usedIndex);
  rig.close();
});
