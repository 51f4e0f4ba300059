// Guest memory that changes or goes away while the disk is in use. Ids are those of the catalogue of
// bad input.

import { ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SharedMemory } from '../../src/core/frontend/index.js';
import type { MemoryRegion } from '../../src/core/protocol/index.js';
import {
  BLK_IN,
  BLK_OUT,
  BlkDriver,
  STATUS_OK,
  STATUS_UNWRITTEN,
  type TestFrontend,
} from '../../src/testing/index.js';
import { pattern } from '../support/disk.js';
import { until } from '../support/resources.js';
import { checkHealthy, ends, outcome, resources, type Scene, withDaemon } from './support.js';

t.setTimeout(90_000);

const MEMORY_BYTES = 8 << 20;
/** Behind the rings and buffers of the test driver, which begin at 0. */
const FAR = 4 << 20;
const TWO_QUEUES = ['--num-queues', '2'];

/** A session whose guest memory is a file: it takes no seals, so nothing keeps it from shrinking. */
async function startOnFile(scene: Scene): Promise<{ frontend: TestFrontend; fd: number }> {
  const memoryFd = openSync(join(scene.directory, 'guest'), 'w+');
  ftruncateSync(memoryFd, MEMORY_BYTES);
  const frontend = await scene.start({ queues: 2, memoryBytes: MEMORY_BYTES, memoryFd });
  return { frontend, fd: memoryFd };
}

/** A chain in queue 0 whose data lies where the test wants it; the offset of its status byte.
 *  Touches no byte of the data. */
function offer(frontend: TestFrontend, type: number, data: number, bytes: number): number {
  const { memory } = frontend;
  const { ring } = frontend.queue(0);
  const header = memory.allocate(16);
  memory.bytes.fill(0, header, header + 16);
  memory.view.setUint32(header, type, true);
  const status = memory.allocate(1);
  memory.bytes[status] = STATUS_UNWRITTEN;
  ring.add([
    { offset: header, bytes: 16, writable: false },
    { offset: data, bytes, writable: type === BLK_IN },
    { offset: status, bytes: 1, writable: true },
  ]);
  ring.publish();
  frontend.queue(0).kick();
  return status;
}

const SHRUNK: [name: string, type: number, data: number, args: string[]][] = [
  ['disk read', BLK_IN, FAR + 4096, []],
  ['disk write', BLK_OUT, FAR + 4096, []],
  ['disk read by the thread engine', BLK_IN, FAR + 4096, ['--aio', 'threads']],
  ['disk write by the thread engine', BLK_OUT, FAR + 4096, ['--aio', 'threads']],
  ['disk read into a bounce buffer', BLK_IN, FAR + 4096 + 512, ['--cache', 'none']],
  ['disk write from a bounce buffer', BLK_OUT, FAR + 4096 + 512, ['--cache', 'none']],
];

t.test('CS-077 memory shrinks under a buffer', async (t) => {
  for (const [name, type, data, args] of SHRUNK) {
    await withDaemon(t, [...TWO_QUEUES, ...args], async (scene) => {
      const { frontend, fd } = await startOnFile(scene);
      await new BlkDriver(frontend).write(0, pattern(512, 1));
      ftruncateSync(fd, FAR);
      const status = offer(frontend, type, data, 8192);
      t.ok(await ends(frontend.frontend), `${name}: the session ends`);
      t.not(frontend.memory.bytes[status], STATUS_OK, `${name}: no success`);
      const { ring } = frontend.queue(0);
      t.equal(ring.publishedUsed, ring.usedIndex, `${name}: nothing is called done`);
      frontend.close();
      await checkHealthy(t, scene, name);
    });
  }
});

t.test('CS-077 memory shrinks under the rings', async (t) => {
  await withDaemon(t, TWO_QUEUES, async (scene) => {
    for (const [name, meet] of [
      ['met by a kick', ({ queues }: TestFrontend) => queues[0]?.kick()],
      ['met by a stop', ({ frontend }: TestFrontend) => outcome(frontend.getVringBase(1))],
      [
        'met by a new table',
        ({ frontend, memory }: TestFrontend) =>
          outcome(frontend.setMemTable([memory.region], [memory.fd])),
      ],
      ['met by nobody', () => {}],
    ] as const) {
      const { frontend, fd } = await startOnFile(scene);
      await new BlkDriver(frontend).write(0, pattern(512, 1));
      ftruncateSync(fd, 0);
      await meet(frontend);
      frontend.close();
      await checkHealthy(t, scene, name);
    }
  });
});

t.test('CS-077 a memfd that takes seals can not shrink at all', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    t.throws(() => ftruncateSync(frontend.memory.fd, 0), { code: 'EPERM' });
    await new BlkDriver(frontend).write(0, pattern(512, 1));
    frontend.close();
  });
});

/** Writes and reads on one queue until told to stop; how many of both. */
async function traffic(t: Test, frontend: TestFrontend, queue: number, goOn: () => boolean) {
  const driver = new BlkDriver(frontend);
  const { ring } = frontend.queue(queue);
  const former = ring.usedIndex;
  for (let seed = 0; goOn(); seed++) {
    const out = pattern(4096, seed);
    const sector = 1000 * (queue + 1);
    const write = await driver.request({ type: BLK_OUT, sector, out, queue });
    const read = await driver.request({ type: BLK_IN, sector, inBytes: 4096, queue });
    if (write.status !== STATUS_OK || Buffer.compare(read.data, out) !== 0) {
      t.fail(`queue ${queue}, request ${seed}: lost data`);
    }
  }
  return (ring.usedIndex - former) & 0xffff;
}

t.test('CS-081 SET_MEM_TABLE again and again under requests of two workers', async (t) => {
  await withDaemon(t, [...TWO_QUEUES, '--workers', '2'], async (scene) => {
    const frontend = await scene.start({ queues: 2 });
    const { memory } = frontend;
    let running = true;
    const queues = [0, 1].map((queue) => traffic(t, frontend, queue, () => running));
    for (let i = 0; i < 50; i++) {
      await frontend.frontend.setMemTable([memory.region], [memory.fd]);
    }
    running = false;
    for (const requests of await Promise.all(queues)) {
      t.ok(requests > 2, `${requests} requests during 50 changes`);
    }
    t.equal(resources(scene.daemon).sharedMappings - scene.baseline.sharedMappings, 1, 'one left');
    frontend.close();
  });
});

t.test('CS-081 a table without the rings stops them', async (t) => {
  await withDaemon(t, TWO_QUEUES, async (scene) => {
    const frontend = await scene.start({ queues: 2 });
    const { memory, queues } = frontend;
    const other = new SharedMemory({ sizeBytes: 1 << 20, userBase: 0x1000_0000n });
    await frontend.frontend.setMemTable([other.region], [other.fd]);
    other.close();
    for (const queue of queues) {
      t.ok(await queue.signalled(queue.errFd, 5000), `queue ${queue.index}: err`);
      await frontend.frontend.getVringBase(queue.index);
    }
    await frontend.frontend.setMemTable([memory.region], [memory.fd]);
    for (const queue of queues) {
      await frontend.startQueue(queue, queue.ring.availIndex);
    }
    await new BlkDriver(frontend).write(0, pattern(512, 1));
    frontend.close();
    await checkHealthy(t, scene);
  });
});

t.test('CS-084 regions come and go while requests use them', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const { memory } = frontend;
    const { ring } = frontend.queue(0);
    const driver = new BlkDriver(frontend);
    await driver.write(0, pattern(4096, 9));
    for (let i = 0; i < 20; i++) {
      const offset = memory.sizeBytes + (i << 20);
      const guestBase = memory.guestAddress(offset);
      const userBase = 0x1000_0000n + BigInt(i << 20);
      const extra = new SharedMemory({ sizeBytes: 1 << 16, guestBase, userBase });
      await frontend.frontend.addMemRegion(extra.region, extra.fd);
      const status = offer(frontend, BLK_IN, offset, 4096);
      await until('it is read', () => memory.bytes[status] === STATUS_OK);
      t.same(extra.bytes.slice(0, 4096), pattern(4096, 9), `region ${i}`);
      // Nobody waits for this one before its region goes: it is drained.
      const last = offer(frontend, BLK_IN, offset, 4096);
      await frontend.frontend.removeMemRegion(extra.region);
      extra.close();
      if (memory.bytes[last] !== STATUS_OK) {
        // Popped after the region had gone: the ring is broken, rightly.
        t.ok(await frontend.queue(0).signalled(frontend.queue(0).errFd, 5000), 'RG-042: err');
        await frontend.frontend.getVringBase(0);
        await frontend.startQueue(frontend.queue(0), ring.availIndex);
      }
      ring.takeUsed();
    }
    const mappings = resources(scene.daemon).sharedMappings - scene.baseline.sharedMappings;
    t.equal(mappings, 1, 'regions that went are unmapped');
    frontend.close();
    await checkHealthy(t, scene);
  });
});

t.test('CS-084, RG-042 the region of the rings is removed', async (t) => {
  await withDaemon(t, TWO_QUEUES, async (scene) => {
    const frontend = await scene.start({ queues: 2 });
    await frontend.frontend.removeMemRegion(frontend.memory.region);
    for (const queue of frontend.queues) {
      t.ok(await queue.signalled(queue.errFd, 5000), `queue ${queue.index}: err`);
      queue.kick();
      await frontend.frontend.getVringBase(queue.index);
    }
    const { sharedMappings } = resources(scene.daemon);
    t.equal(sharedMappings, scene.baseline.sharedMappings, 'unmapped');
    frontend.close();
    await checkHealthy(t, scene);
  });
});

t.test('CS-082, CS-083, CS-085 slots', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const raw = frontend.frontend;
    const slots = Number(await raw.getMaxMemSlots());
    t.equal(slots, 509);
    const spare = new SharedMemory({ sizeBytes: 4096 });
    const region = (i: number): MemoryRegion => ({
      guestAddress: 0x10_0000_0000n + BigInt(i) * 4096n,
      userAddress: 0x20_0000_0000n + BigInt(i) * 4096n,
      sizeBytes: 4096n,
      mmapOffsetBytes: 0n,
    });
    for (let i = 1; i < slots; i++) {
      await raw.addMemRegion(region(i), spare.fd);
    }
    t.equal(await outcome(raw.addMemRegion(region(slots), spare.fd)), 'NACK', 'CS-085 one more');
    await raw.removeMemRegion({ ...region(1), mmapOffsetBytes: 77n }); // the offset is no key
    const near = { guest: region(2).guestAddress + 4095n, user: region(2).userAddress - 4095n };
    const refused: [string, () => Promise<void>][] = [
      ['CS-083 unknown', () => raw.removeMemRegion(region(1))],
      ['CS-083 other size', () => raw.removeMemRegion({ ...region(2), sizeBytes: 8192n })],
      ['CS-083 other user address', () => raw.removeMemRegion({ ...region(2), userAddress: 0n })],
      [
        'CS-082 guest addresses overlap',
        () => raw.addMemRegion({ ...region(1), guestAddress: near.guest }, spare.fd),
      ],
      [
        'CS-082 user addresses overlap',
        () => raw.addMemRegion({ ...region(1), userAddress: near.user }, spare.fd),
      ],
    ];
    for (const [name, attempt] of refused) {
      t.equal(await outcome(attempt()), 'NACK', name);
    }
    await raw.addMemRegion(region(1), spare.fd);
    await new BlkDriver(frontend).write(0, pattern(512, 4));
    spare.close();
    frontend.close();
    await checkHealthy(t, scene);
  });
});
