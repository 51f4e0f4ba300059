// A disk behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM), and rings by guest address (GPA_ADDRESSES): the
// program as a user runs it, our front-end with an IOMMU of its own.

import t, { type Test } from 'tap';
import {
  IOTLB_PERM_NONE,
  IOTLB_PERM_READ,
  IOTLB_PERM_READ_WRITE,
  IOTLB_PERM_WRITE,
  IOTLB_TYPE_ACCESS_FAIL,
  IOTLB_TYPE_MISS,
  IOTLB_TYPE_UPDATE,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
} from '../../src/core/protocol/index.js';
import { BLK_OUT, BlkDriver, STATUS_OK, type TestFrontend } from '../../src/testing/index.js';
import { until } from '../support/resources.js';
import { PAGE_BYTES, TestIommu } from '../support/test-iommu.js';
import {
  checkHealthy,
  checkIdle,
  drained,
  pause,
  prepareWrites,
  type Scene,
  withDaemon,
} from './support.js';

const ALL_BYTES = 0n; // an invalidation of everything, as QEMU says it
const REFUSED = 1n;
const TAKEN = 0n;

interface Behind {
  readonly frontend: TestFrontend;
  readonly iommu: TestIommu;
  readonly driver: BlkDriver;
}

/** A front-end whose rings and buffers are I/O addresses, its queues running. */
async function behindIommu(scene: Scene, queues = 1): Promise<Behind> {
  const frontend = scene.connect({ addresses: 'io', queues });
  await frontend.negotiate();
  const iommu = await TestIommu.attach(frontend);
  await iommu.exclusively(() => frontend.startQueues());
  return { frontend, iommu, driver: new BlkDriver(frontend) };
}

function leave({ frontend, iommu }: Behind): void {
  iommu.close();
  frontend.close();
}

function fill(bytes: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8) + seed) % 251);
}

async function writeAndCheck(t: Test, driver: BlkDriver, seed: number): Promise<void> {
  const bytes = fill(10 * PAGE_BYTES, seed);
  await driver.write(seed * 128, bytes);
  t.same(Buffer.compare(await driver.read(seed * 128, bytes.byteLength), bytes), 0, `${seed}`);
}

t.test('requests through an IOMMU', async (t) => {
  await withDaemon(t, ['--iommu', '--num-queues', '2', '--workers', '2'], async (scene) => {
    const behind = await behindIommu(scene, 2);
    const { iommu, driver, frontend } = behind;
    await writeAndCheck(t, driver, 1);
    const asked = iommu.misses.length;
    t.ok(asked > 3, `rings and buffers were asked for, ${asked} times`);
    await writeAndCheck(t, driver, 1);
    t.equal(iommu.misses.length, asked, 'the same pages again: nothing to ask');
    for (const indirect of [false, true]) {
      const out = fill(9000, 3);
      const wrote = await driver.requests(
        Array.from({ length: 8 }, (_, i) => ({
          type: BLK_OUT,
          sector: i * 32,
          out: out.subarray(0, 8704),
          pieceBytes: 1000,
          indirect,
          queue: 1,
        })),
      );
      t.ok(wrote.every(({ status }) => status === STATUS_OK));
    }
    t.equal(await iommu.invalidate(0n, ALL_BYTES), TAKEN);
    await writeAndCheck(t, driver, 2);
    t.ok(iommu.misses.length > asked, 'after an invalidation everything is asked for again');
    await iommu.exclusively(() => frontend.stopQueues());
    leave(behind);
    await checkHealthy(t, scene);
  });
});

t.test('an invalidation under load', async (t) => {
  await withDaemon(t, ['--iommu'], async (scene) => {
    const behind = await behindIommu(scene);
    const { iommu, driver } = behind;
    let running = true;
    let rounds = 0;
    const load = async () => {
      while (running) {
        const out = fill(PAGE_BYTES, rounds++);
        const many = Array.from({ length: 24 }, (_, i) => ({ type: BLK_OUT, sector: i * 8, out }));
        const done = await driver.requests(many);
        t.ok(done.every(({ status }) => status === STATUS_OK));
      }
    };
    const worked = load();
    for (let i = 0; i < 60 || rounds < 4; i++) {
      // Everything, the rings' first page, a page of buffers.
      const [iova, size] = [
        [0n, ALL_BYTES],
        [behind.frontend.memory.guestAddress(0), 4096n],
        [behind.frontend.memory.guestAddress(5 * PAGE_BYTES), 4096n],
      ][i % 3] as [bigint, bigint];
      t.equal(await iommu.invalidate(iova, size), TAKEN);
      await pause(2);
    }
    running = false;
    await worked;
    t.comment(`${rounds} rounds of writes, ${iommu.misses.length} misses`);
    leave(behind);
    await checkHealthy(t, scene);
  });
});

t.test('a miss that is never answered: no spinning, and everything can be stopped', async (t) => {
  await withDaemon(t, ['--iommu'], async (scene) => {
    const behind = await behindIommu(scene);
    const { iommu, frontend } = behind;
    await writeAndCheck(t, behind.driver, 1);
    iommu.answering = false;
    t.equal(await iommu.invalidate(0n, ALL_BYTES), TAKEN);
    const before = iommu.misses.length;
    prepareWrites(frontend, 4);
    frontend.queue(0).kick();
    await until('the miss', () => iommu.misses.length > before);
    for (let i = 0; i < 50; i++) {
      frontend.queue(0).kick();
    }
    await checkIdle(t, scene, 'waiting for a translation');
    t.equal(iommu.misses.length, before + 1, 'asked once, however often the driver kicks');
    t.equal(await iommu.invalidate(0n, ALL_BYTES), TAKEN);
    await until('the miss again', () => iommu.misses.length === before + 2);
    const bases = await iommu.exclusively(() => frontend.stopQueues());
    t.same(bases, [frontend.queue(0).ring.usedIndex & 0xffff], 'nothing of it was popped');
    leave(behind);
    await checkHealthy(t, scene);
    const gone = await behindIommu(scene);
    gone.iommu.answering = false;
    prepareWrites(gone.frontend, 1);
    gone.frontend.queue(0).kick();
    await until('the miss', () => gone.iommu.misses.length > 0);
    leave(gone);
    await checkHealthy(t, scene, 'a session that ends while it waits');
  });
});

t.test('a stopped device forgets: nobody tells it of invalidations', async (t) => {
  await withDaemon(t, ['--iommu'], async (scene) => {
    const behind = await behindIommu(scene);
    const { iommu, frontend, driver } = behind;
    await writeAndCheck(t, driver, 1);
    await iommu.exclusively(() => frontend.stopQueues());
    const asked = iommu.misses.length;
    await iommu.exclusively(() => frontend.startQueue(frontend.queue(0), 65_500));
    const ring = frontend.memory.userAddress(frontend.queue(0).ring.descriptorOffset);
    await until('the ring asked for again', () => iommu.misses.length > asked);
    t.equal(iommu.misses[asked]?.iova, ring);
    leave(behind);
    await checkHealthy(t, scene);
  });
});

t.test('a late update, and one that does not help', async (t) => {
  await withDaemon(t, ['--iommu'], async (scene) => {
    const behind = await behindIommu(scene);
    const { iommu, frontend } = behind;
    iommu.answering = false;
    const before = iommu.misses.length;
    prepareWrites(frontend, 4);
    frontend.queue(0).kick();
    await until('a miss', () => iommu.misses.length === before + 1);
    const { memory } = frontend;
    t.equal(await iommu.update(memory.guestAddress(memory.sizeBytes - 1)), TAKEN);
    await pause(20);
    t.equal(iommu.misses.length, before + 1, 'another page does not make it ask again');
    iommu.answering = true;
    const { iova } = iommu.misses.at(-1) as { readonly iova: bigint };
    t.equal(await iommu.update(iova), TAKEN);
    t.ok(await drained(frontend), 'all four come back');
    leave(behind);
    await checkHealthy(t, scene);
  });
});

t.test('a permission that is missing', async (t) => {
  await withDaemon(t, ['--iommu'], async (scene) => {
    const behind = await behindIommu(scene);
    const { iommu, frontend } = behind;
    await until('the rings', () => iommu.misses.length > 0);
    // Not the rings' page, which is known: the status byte lies in one that may only be read.
    iommu.perm = IOTLB_PERM_READ;
    prepareWrites(frontend, 1);
    frontend.queue(0).kick();
    const fails = () => iommu.heard.filter(({ type }) => type === IOTLB_TYPE_ACCESS_FAIL);
    await until('the failure', () => fails().length === 1);
    t.equal(fails()[0]?.perm, IOTLB_PERM_WRITE);
    t.ok(await frontend.queue(0).signalled(frontend.queue(0).errFd), 'the err eventfd too');
    await iommu.exclusively(() => frontend.stopQueues());
    leave(behind);
    await checkHealthy(t, scene);
  });
});

t.test('CS-087: hostile translations', async (t) => {
  await withDaemon(t, ['--iommu'], async (scene) => {
    const behind = await behindIommu(scene);
    const { iommu, frontend } = behind;
    const { memory } = frontend;
    const good = {
      type: IOTLB_TYPE_UPDATE,
      iova: 0x10000n,
      sizeBytes: 4096n,
      userAddress: memory.userBase,
      perm: IOTLB_PERM_READ_WRITE,
    };
    const end = memory.userBase + BigInt(memory.sizeBytes);
    const refused = [
      { ...good, sizeBytes: 0n },
      { ...good, sizeBytes: (1n << 64n) - 1n },
      { ...good, iova: (1n << 64n) - 4095n },
      { ...good, userAddress: 0n },
      { ...good, userAddress: end - 4095n },
      { ...good, userAddress: (1n << 64n) - 1n },
      { ...good, userAddress: memory.guestBase },
      { ...good, perm: IOTLB_PERM_NONE },
      { ...good, perm: 4 },
      { ...good, type: 0 },
      { ...good, type: IOTLB_TYPE_MISS },
      { ...good, type: IOTLB_TYPE_ACCESS_FAIL },
      { ...good, type: 255 },
    ];
    for (const [index, message] of refused.entries()) {
      t.equal(await iommu.tell(message), REFUSED, `refusal ${index}`);
    }
    t.equal(await iommu.tell({ ...good, iova: (1n << 64n) - 4096n }), TAKEN, 'the last page');
    t.equal(await iommu.invalidate((1n << 64n) - 1n, 5000n), TAKEN, 'an end that wraps');
    const before = scene.daemon.residentBytes();
    for (let i = 0; i < 6000; i++) {
      await iommu.tell({ ...good, iova: BigInt(i) * 8192n, sizeBytes: 1n + BigInt(i % 4096) });
    }
    const grown = scene.daemon.residentBytes() - before;
    t.ok(grown < 32 << 20, `6000 entries are not kept: ${grown >> 10} KiB more`);
    await writeAndCheck(t, behind.driver, 4);
    t.equal(await iommu.invalidate(0n, ALL_BYTES), TAKEN);
    // Two pages of I/O addresses that lead to the same page, and a ring page cut into bytes.
    const ring = memory.guestAddress(0);
    for (let i = 0n; i < 64n; i++) {
      await iommu.tell({ ...good, iova: ring + i, sizeBytes: 1n, userAddress: end - 1n - i });
    }
    frontend.queue(0).kick();
    t.ok(await frontend.queue(0).signalled(frontend.queue(0).errFd), 'a ring in pieces is broken');
    leave(behind);
    await checkHealthy(t, scene);
  });
});

t.test('without the feature', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = scene.connect({ addresses: 'io' });
    await frontend.negotiate();
    const iommu = await TestIommu.attach(frontend);
    t.equal(await iommu.update(frontend.memory.guestAddress(0)), REFUSED);
    t.equal(await iommu.invalidate(0n, ALL_BYTES), REFUSED);
    iommu.close();
    frontend.close();
    await checkHealthy(t, scene);
  });
});

t.test('GPA_ADDRESSES: rings by guest address', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start({ addresses: 'guest' });
    t.ok(frontend.frontend.protocolFeatures & VHOST_USER_PROTOCOL_F_GPA_ADDRESSES);
    await writeAndCheck(t, new BlkDriver(frontend), 5);
    const off = frontend.frontend.protocolFeatures & ~VHOST_USER_PROTOCOL_F_GPA_ADDRESSES;
    await t.rejects(frontend.frontend.setProtocolFeatures(off), { code: 'PEER_REFUSED' });
    frontend.close();
    const wrong = scene.connect({
      addresses: 'guest',
      withoutProtocolFeatures: VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
    });
    await wrong.negotiate();
    await t.rejects(
      wrong.startQueues(),
      { code: 'PEER_REFUSED' },
      'not negotiated: other addresses',
    );
    wrong.close();
    await checkHealthy(t, scene);
  });
});

t.test('GPA_ADDRESSES behind an IOMMU: translations lead to guest addresses', async (t) => {
  await withDaemon(t, ['--iommu'], async (scene) => {
    const frontend = scene.connect({ addresses: 'io' });
    const features = await frontend.frontend.getFeatures();
    const protocol = await frontend.frontend.getProtocolFeatures();
    await frontend.frontend.setProtocolFeatures(protocol);
    frontend.features = features;
    await frontend.frontend.setFeatures(features);
    await frontend.frontend.setMemTable([frontend.memory.region], [frontend.memory.fd]);
    const iommu = await TestIommu.attach(frontend);
    iommu.answering = false;
    const whole = {
      type: IOTLB_TYPE_UPDATE,
      iova: frontend.memory.guestAddress(0),
      sizeBytes: BigInt(frontend.memory.sizeBytes),
      perm: IOTLB_PERM_READ_WRITE,
    };
    t.equal(await iommu.tell({ ...whole, userAddress: frontend.memory.userBase }), REFUSED);
    t.equal(await iommu.tell({ ...whole, userAddress: frontend.memory.guestBase }), TAKEN);
    await iommu.exclusively(() => frontend.startQueues());
    await writeAndCheck(t, new BlkDriver(frontend), 6);
    t.same(iommu.heard, [], 'all was told beforehand');
    leave({ frontend, iommu, driver: new BlkDriver(frontend) });
    await checkHealthy(t, scene);
  });
});
