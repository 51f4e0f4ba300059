// Guest memory that changes or goes away while rings run on it.

import { closeSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type MemoryRegion, VIRTIO_F_RING_PACKED } from '../../src/core/protocol/index.js';
import { check, native } from '../../src/native/index.js';
import { BLK_IN, BLK_OUT, BlkDriver, type TestFrontend } from '../../src/testing/index.js';
import { errors, N, RawChains, renew, W } from './raw-chains.js';
import {
  checkClean,
  checkHealthy,
  checkIdle,
  drained,
  ends,
  makeFile,
  outcome,
  pause,
  postWrites,
  prepareWrites,
  reach,
  resources,
  type Scene,
  withDaemon,
} from './support.js';

const MEMORY_BYTES = 4 << 20;
/** Rings lie below, buffers above. */
const KEPT_BYTES = 1 << 20;
const FAR = 1n << 40n;

/** A front-end whose memory is a file, which nobody can seal; it runs. */
async function onFile(scene: Scene): Promise<TestFrontend> {
  const path = join(scene.directory, 'memory.bin');
  makeFile(path, MEMORY_BYTES);
  return await scene.start({ memoryFd: openSync(path, 'r+'), memoryBytes: MEMORY_BYTES });
}

/** Requests whose buffers lie in the upper part. */
function prepareHigh(frontend: TestFrontend, count: number): void {
  frontend.memory.allocate(KEPT_BYTES, 4096);
  prepareWrites(frontend, count);
}

const LOSSES: readonly (readonly [string, (frontend: TestFrontend) => void, number])[] = [
  ['the ring', (frontend) => prepareWrites(frontend, 4), 0],
  ['headers and buffers', (frontend) => prepareHigh(frontend, 4), KEPT_BYTES],
  [
    'a buffer to write from',
    (frontend) => {
      const raw = new RawChains(frontend);
      const lost = frontend.memory.guestAddress(MEMORY_BYTES - 8192);
      raw.table([raw.header, 16, N, 1], [lost, 4096, N, 2], [raw.status, 1, W]);
      raw.ring.makeAvailable(0);
      raw.ring.setAvailIndex(raw.ring.availIndex);
    },
    KEPT_BYTES,
  ],
  [
    'a buffer to read into',
    (frontend) => {
      const raw = new RawChains(frontend);
      const { memory } = frontend;
      const lost = memory.guestAddress(MEMORY_BYTES - 8192);
      memory.view.setUint32(Number(raw.header - memory.guestBase), BLK_IN, true);
      raw.table([raw.header, 16, N, 1], [lost, 4096, W | N, 2], [raw.status, 1, W]);
      raw.ring.makeAvailable(0);
      raw.ring.setAvailIndex(raw.ring.availIndex);
    },
    KEPT_BYTES,
  ],
  [
    'the status byte',
    (frontend) => {
      const raw = new RawChains(frontend);
      const lost = frontend.memory.guestAddress(MEMORY_BYTES - 1);
      raw.table([raw.header, 16, N, 1], [raw.data, 512, N, 2], [lost, 1, W]);
      raw.ring.makeAvailable(0);
      raw.ring.setAvailIndex(raw.ring.availIndex);
    },
    KEPT_BYTES,
  ],
];

t.test('CS-077: memory is taken away', async (t) => {
  for (const aio of ['io_uring', 'threads']) {
    await withDaemon(t, ['--aio', aio], async (scene) => {
      for (const [what, prepare, keptBytes] of LOSSES) {
        const frontend = await onFile(scene);
        prepare(frontend);
        // From here on this process must not touch the lost pages either.
        ftruncateSync(frontend.memory.fd, keptBytes);
        frontend.queue(0).kick();
        t.ok(await ends(frontend.frontend), `${what} (${aio}): the session closes`);
        frontend.close();
        await checkClean(t, scene, what);
      }
      const idle = await onFile(scene);
      ftruncateSync(idle.memory.fd, 0);
      await checkIdle(t, scene, `idle (${aio})`);
      t.ok(await idle.frontend.getFeatures(), 'idle: nothing happens');
      // Stopping may look at the ring once more and notice the loss.
      t.not(await outcome(idle.frontend.getVringBase(0)), 'NACK', 'idle: it can be stopped');
      idle.close();
      const busy = await onFile(scene);
      prepareHigh(busy, 32);
      busy.queue(0).kick();
      ftruncateSync(busy.memory.fd, 0);
      await pause(20);
      busy.close();
      await checkHealthy(t, scene, `CS-077 (${aio})`);
    });
  }
});

t.test('CS-077: a memfd is sealed while it is mapped', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    t.throws(() => ftruncateSync(frontend.memory.fd, 4096), { code: 'EPERM' });
    frontend.close();
    await checkHealthy(t, scene, 'sealed');
  });
});

t.test('CS-081: SET_MEM_TABLE with requests in flight', async (t) => {
  await withDaemon(t, ['--num-queues', '2'], async (scene) => {
    const frontend = await scene.start({ queues: 2 });
    const { memory, frontend: control } = frontend;
    const mark = memory.mark();
    let served = true;
    for (let i = 0; i < 50; i++) {
      memory.reset(mark);
      postWrites(frontend, 32, i % 2);
      await control.setMemTable([memory.region], [memory.fd]);
      served &&= await drained(frontend, i % 2);
      frontend.queue(i % 2).ring.takeUsed();
    }
    t.ok(served, 'the same memory: nothing is lost');
    t.same(errors(frontend.queue(0)) + errors(frontend.queue(1)), 0, 'no queue stopped');
    memory.reset(mark);
    postWrites(frontend, 32);
    const moved = { ...memory.region, userAddress: memory.userBase + FAR };
    t.equal(await outcome(control.setMemTable([moved], [memory.fd])), 'WORK');
    const { errFd } = frontend.queue(0);
    t.ok(await frontend.queue(0).signalled(errFd, 2000), 'the rings are gone: the queue stops');
    await checkIdle(t, scene, 'CS-081');
    await control.setMemTable([memory.region], [memory.fd]);
    memory.reset(mark);
    await renew(frontend);
    await new BlkDriver(frontend).write(0, new Uint8Array(512));
    t.pass('set up anew it works');
    frontend.close();
    await checkHealthy(t, scene, 'CS-081');
  });
});

/** Page `index` of the front-end's memory at an address of its own. */
function page({ memory }: TestFrontend, index: number): MemoryRegion {
  const at = BigInt(index * 8192);
  return {
    guestAddress: memory.guestBase + FAR + at,
    userAddress: memory.userBase + FAR + at,
    sizeBytes: 4096n,
    mmapOffsetBytes: BigInt((index * 4096) % memory.sizeBytes),
  };
}

t.test('memory slots', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const { frontend: control, memory } = frontend;
    const slots = Number(await control.getMaxMemSlots());
    t.equal(slots, 509, 'CS-085');
    let taken = true;
    for (let i = 1; i < slots; i++) {
      taken &&= (await outcome(control.addMemRegion(page(frontend, i), memory.fd))) === 'WORK';
    }
    t.ok(taken, `CS-085: ${slots} are taken`);
    const more = page(frontend, slots);
    t.equal(await outcome(control.addMemRegion(more, memory.fd)), 'NACK', 'CS-085: one more');
    postWrites(frontend, 4);
    t.ok(await drained(frontend), 'with all slots in use');
    await control.removeMemRegion(page(frontend, 7));
    const again = control.addMemRegion(page(frontend, 8), memory.fd);
    t.equal(await outcome(again), 'WORK', 'CS-082: duplicate, as QEMU 7.2 sends them');
    const overlap = { ...page(frontend, 7), sizeBytes: 16384n };
    t.equal(await outcome(control.addMemRegion(overlap, memory.fd)), 'NACK', 'CS-082: overlap');
    t.equal(await outcome(control.removeMemRegion(page(frontend, 7))), 'NACK', 'CS-083: unknown');
    const other = { ...page(frontend, 8), sizeBytes: 8192n };
    t.equal(await outcome(control.removeMemRegion(other)), 'NACK', 'CS-083: another size');
    await control.getFeatures();
    const before = resources(scene.daemon).fds;
    const last = page(frontend, 8);
    t.equal(await control.request('REM_MEM_REG', last, [memory.fd]), 0n, 'CS-083: with descriptor');
    await control.getFeatures();
    t.equal(resources(scene.daemon).fds, before, 'CS-083: which is closed');
    frontend.close();
    await checkHealthy(t, scene, 'memory slots');
  });
});

t.test('CS-082: all memory by ADD_MEM_REG', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await reach(scene, 'acked');
    const { frontend: control, memory } = frontend;
    const features = (await control.getFeatures()) & ~VIRTIO_F_RING_PACKED;
    control.protocolFeatures = 8n;
    await control.setFeatures(features);
    frontend.features = features;
    control.protocolFeatures = await control.getProtocolFeatures();
    await control.addMemRegion(memory.region, memory.fd);
    await frontend.startQueues();
    postWrites(frontend, 4);
    t.ok(await drained(frontend), 'works');
    const alias = { ...memory.region, guestAddress: FAR, userAddress: FAR };
    await control.addMemRegion(alias, memory.fd);
    const raw = new RawChains(frontend);
    const over = (address: bigint) => address - memory.guestBase + FAR;
    raw.table([over(raw.header), 16, N, 3], [0n, 0], [0n, 0], [over(raw.data), 512, N, 4]);
    raw.ring.writeDescriptor(4, { address: over(raw.status), length: 1, flags: W, next: 0 });
    raw.offer(0);
    t.ok(await drained(frontend), 'CS-074: buffers at the second address of the same memory');
    t.equal(raw.statusByte, 0, 'CS-074: status');
    frontend.close();
    await checkHealthy(t, scene, 'CS-082');
  });
});

t.test('CS-084: a region goes with requests in flight', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const { frontend: control, memory } = frontend;
    const mark = memory.mark();
    for (let round = 0; round < 20; round++) {
      memory.reset(mark);
      await renew(frontend);
      const extra = { ...memory.region, guestAddress: FAR, userAddress: FAR };
      await control.addMemRegion(extra, memory.fd);
      const raw = new RawChains(frontend);
      const bytes = 1 << 20;
      raw.table([raw.header, 16, N, 1], [FAR + BigInt(bytes), bytes, N, 2], [raw.status, 1, W]);
      raw.offer(0);
      t.equal(await outcome(control.removeMemRegion(extra)), 'WORK', 'removed');
      const done = await drained(frontend).catch(() => false);
      const stopped = errors(frontend.queue(0)) > 0;
      t.ok(done ? raw.statusByte === 0 : stopped, 'done before, or refused');
      if (stopped) {
        break;
      }
    }
    await renew(frontend);
    postWrites(frontend, 16);
    t.equal(await outcome(control.removeMemRegion(memory.region)), 'WORK', 'the ring goes too');
    const { errFd } = frontend.queue(0);
    t.ok(await frontend.queue(0).signalled(errFd, 2000), 'the queue stops');
    await control.getVringBase(0);
    t.equal(resources(scene.daemon).sharedMappings, scene.baseline.sharedMappings, 'unmapped');
    frontend.close();
    await checkHealthy(t, scene, 'CS-084');
  });
});

t.test('a sparse region of 6 GiB', async (t) => {
  const GIB = 2 ** 30;
  await withDaemon(t, [], async (scene) => {
    const frontend = scene.connect();
    await frontend.negotiate();
    const { memory, frontend: control } = frontend;
    ftruncateSync(memory.fd, 6 * GIB);
    await control.setMemTable([{ ...memory.region, sizeBytes: BigInt(6 * GIB) }], [memory.fd]);
    await frontend.startQueues();
    const raw = new RawChains(frontend);
    const out = Buffer.alloc(4096, 'beyond 4 GiB ');
    const from = 5 * GIB + 512;
    const into = 6 * GIB - 4096;
    writeSync(memory.fd, out, 0, out.length, from);
    const header = Number(raw.header - memory.guestBase);
    for (const [type, at, flags] of [
      [BLK_OUT, from, N],
      [BLK_IN, into, W | N],
    ] as const) {
      memory.view.setUint32(header, type, true);
      const address = memory.guestAddress(at);
      raw.table([raw.header, 16, N, 1], [address, 4096, flags, 2], [raw.status, 1, W]).offer(0);
      t.ok(await drained(frontend), 'comes back');
      t.equal(raw.statusByte, 0, 'status');
    }
    const read = Buffer.alloc(4096);
    readSync(memory.fd, read, 0, read.length, into);
    t.ok(read.equals(out), 'the same bytes');
    t.equal(statSync(scene.image).size, 16 << 20, 'I9: the image has not grown');
    frontend.close();
    await checkHealthy(t, scene, '6 GiB');
  });
});

t.test('CS-080: a table whose last region fails maps nothing', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await reach(scene, 'negotiated');
    const { memory, frontend: control } = frontend;
    // A message's descriptors are closed behind its reply: the next reply shows that it is done.
    await control.getFeatures();
    const before = resources(scene.daemon);
    const empty = check('memfd', native.memfdCreate('empty', 0));
    const far = { ...memory.region, guestAddress: FAR, userAddress: FAR };
    const call = control.setMemTable([memory.region, far], [memory.fd, empty]);
    t.equal(await outcome(call), 'NACK', 'refused');
    await control.getFeatures();
    t.same(resources(scene.daemon), before, 'the former table is all that is mapped');
    closeSync(empty);
    await frontend.startQueues();
    postWrites(frontend, 4);
    t.ok(await drained(frontend), 'and goes on');
    frontend.close();
    await checkHealthy(t, scene, 'CS-080');
  });
});
