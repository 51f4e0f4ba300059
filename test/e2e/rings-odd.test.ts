// RG rows that are odd but legal: all of them must work.

import t from 'tap';

import {
  type MemoryRegion,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_INDIRECT_DESC,
} from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import {
  BLK_IN,
  BLK_OUT,
  BlkDriver,
  type BlkRequest,
  STATUS_UNWRITTEN,
  type TestFrontend,
  type TestFrontendOptions,
} from '../../src/testing/index.js';
import { errors, I, N, QUEUE_SIZE, RawChains, renew, W } from './raw-chains.js';
import { checkHealthy, checkIdle, drained, pause, postWrites, withDaemon } from './support.js';

type Build = (raw: RawChains) => void;

const last = ({ frontend: { memory } }: RawChains, bytes: number): bigint =>
  memory.guestBase + BigInt(memory.sizeBytes - bytes);

/** [row, chain on descriptors from 0, used.len, status byte where the good request has it] */
const CHAINS: readonly (readonly [string, Build, number, number])[] = [
  ['a plain write', (raw) => raw.table(...raw.good()).offer(0), 1, 0],
  [
    'RG-012: unknown flag bits',
    (raw) =>
      raw
        .table([raw.header, 16, N | 0xfff0, 1], [raw.data, 512, N, 2], [raw.status, 1, W])
        .offer(0),
    1,
    0,
  ],
  [
    'RG-014: INDIRECT and WRITE',
    (raw) =>
      raw
        .indirect(raw.good())
        .table([raw.at(), 48, I | W])
        .offer(0),
    1,
    0,
  ],
  [
    'RG-020: misaligned table',
    (raw) =>
      raw
        .indirect(raw.good(), 5)
        .table([raw.at(5), 48, I])
        .offer(0),
    1,
    0,
  ],
  [
    'RG-024: direct descriptor, then a table',
    (raw) =>
      raw
        .indirect([
          [raw.data, 512, N, 1],
          [raw.status, 1, W],
        ])
        .table([raw.header, 16, N, 1], [raw.at(), 32, I])
        .offer(0),
    1,
    0,
  ],
  [
    'RG-028: zero-length descriptors first, in the middle, last',
    (raw) =>
      raw
        .table(
          [0n, 0, N, 1],
          [raw.header, 16, N, 2],
          [2n ** 64n - 1n, 0, N, 3],
          [raw.data, 512, N, 4],
          [raw.status, 1, W | N, 5],
          [0n, 0, W],
        )
        .offer(0),
    1,
    0,
  ],
  ['RG-028: all of length zero', (raw) => raw.table([0n, 0]).offer(0), 0, STATUS_UNWRITTEN],
  [
    'RG-033: the last byte of memory is the status',
    (raw) =>
      raw.table([raw.header, 16, N, 1], [raw.data, 512, N, 2], [last(raw, 1), 1, W]).offer(0),
    1,
    STATUS_UNWRITTEN,
  ],
  [
    'RG-035: one page in 256 descriptors',
    (raw) => {
      const pages = Array.from({ length: 256 }, (_, i) => [raw.data, 4096, N, i + 2] as const);
      raw
        .indirect([[raw.header, 16, N, 1], ...pages, [raw.status, 1, W]])
        .table([raw.at(), 258 * 16, I])
        .offer(0);
    },
    1,
    0,
  ],
  [
    'RG-026: every head on one maximal table',
    (raw) => {
      const pages = Array.from({ length: 1022 }, (_, i) => [raw.data, 4096, N, i + 2] as const);
      raw.indirect([[raw.header, 16, N, 1], ...pages, [raw.status, 1, W]]);
      const heads = Array.from({ length: QUEUE_SIZE }, (_, i) => i);
      raw.table(...heads.map(() => [raw.at(), 1024 * 16, I] as const)).offer(...heads);
    },
    1,
    0,
  ],
];

t.test('odd chains', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start({ queueSize: QUEUE_SIZE });
    const mark = frontend.memory.mark();
    for (const [id, build, usedBytes, status] of CHAINS) {
      frontend.memory.reset(mark);
      await renew(frontend);
      const raw = new RawChains(frontend);
      build(raw);
      t.ok(await drained(frontend), `${id}: comes back`);
      const used = raw.ring.takeUsed();
      t.ok(
        used.every(({ length }) => length === usedBytes),
        `${id}: RG-048: used.len`,
      );
      t.equal(raw.statusByte, status, `${id}: status`);
      t.equal(errors(frontend.queue(0)), 0, `${id}: no error`);
    }
    frontend.close();
    await checkHealthy(t, scene, 'odd chains');
  });
});

t.test('RG-034: the device writes over the rings', async (t) => {
  await withDaemon(t, ['--num-queues', '2'], async (scene) => {
    const frontend = await scene.start({ queues: 2 });
    const driver = new BlkDriver(frontend);
    const mark = frontend.memory.mark();
    for (const part of ['descriptorOffset', 'availOffset', 'usedOffset'] as const) {
      frontend.memory.reset(mark);
      await renew(frontend);
      const raw = new RawChains(frontend);
      const over = frontend.memory.guestAddress(raw.ring[part]);
      frontend.memory.view.setUint32(Number(raw.header - frontend.memory.guestBase), BLK_IN, true);
      raw.table([raw.header, 16, N, 1], [over, 512, W | N, 2], [raw.status, 1, W]).offer(0);
      await pause(20);
      const other = await driver.request({ type: BLK_OUT, out: new Uint8Array(512), queue: 1 });
      t.equal(other.status, 0, `${part}: queue 1 goes on`);
    }
    frontend.close();
    await checkHealthy(t, scene, 'RG-034');
  });
});

/** Write and read of the same bytes, with the layouts given. */
async function roundTrip(driver: BlkDriver, layout: Partial<BlkRequest>, bytes: number) {
  const out = new Uint8Array(bytes).map((_, i) => (i * 7 + bytes) & 0xff);
  const written = await driver.request({ ...layout, type: BLK_OUT, out });
  const read = await driver.request({ ...layout, type: BLK_IN, inBytes: bytes });
  return written.status === 0 && read.status === 0 && Buffer.compare(read.data, out) === 0;
}

const SIZES = [1, 2, 4, 128, 1024, 32768];

t.test('ring sizes, layouts and indices', async (t) => {
  await withDaemon(t, ['--queue-size', '32768'], async (scene) => {
    const withoutFeatures = VIRTIO_F_RING_EVENT_IDX;
    for (const queueSize of SIZES) {
      for (const options of [{ queueSize }, { queueSize, withoutFeatures }]) {
        const frontend = await scene.start({ ...options, memoryBytes: 8 << 20 });
        const driver = new BlkDriver(frontend);
        const what = `size ${queueSize}, ${'withoutFeatures' in options ? 'no ' : ''}event index`;
        let intact = true;
        for (let i = 0; i < 40; i++) {
          intact &&= await roundTrip(driver, { indirect: true, pieceBytes: 512 }, 4096);
          intact &&= queueSize < 4 || (await roundTrip(driver, {}, 512));
        }
        t.ok(intact, `RG-051, RG-038: ${what}: the index wraps`);
        frontend.close();
      }
    }
    const frontend = await scene.start({ queueSize: QUEUE_SIZE });
    const driver = new BlkDriver(frontend);
    const exact = (QUEUE_SIZE - 2) * 512;
    t.ok(await roundTrip(driver, { pieceBytes: 512 }, exact), 'RG-010: as long as the ring');
    const longer = { indirect: true, pieceBytes: 512 };
    t.ok(await roundTrip(driver, longer, 1000 * 512), 'a table longer than the ring');
    frontend.close();
    await checkHealthy(t, scene, 'ring sizes');
  });
});

/** The front-end's memory as two regions that meet at `at`: neighbours for the guest only. */
function halves({ memory }: TestFrontend, at: number): MemoryRegion[] {
  const { guestAddress, userAddress, sizeBytes } = memory.region;
  const cut = BigInt(at);
  return [
    { guestAddress, userAddress, sizeBytes: cut, mmapOffsetBytes: 0n },
    {
      guestAddress: guestAddress + cut,
      userAddress: userAddress + cut + (1n << 40n),
      sizeBytes: sizeBytes - cut,
      mmapOffsetBytes: cut,
    },
  ];
}

t.test('trap 20: a table and a buffer over two regions', async (t) => {
  const AT = 2 << 20;
  await withDaemon(t, [], async (scene) => {
    const frontend = scene.connect();
    await frontend.negotiate();
    const { fd } = frontend.memory;
    await frontend.frontend.setMemTable(halves(frontend, AT), [fd, fd]);
    await frontend.startQueues();
    const raw = new RawChains(frontend);
    const { memory } = frontend;
    const cut = memory.guestAddress(AT);
    memory.bytes.fill(0x77, AT - 256, AT + 256);
    raw.table([raw.header, 16, N, 1], [cut - 256n, 512, N, 2], [raw.status, 1, W]).offer(0);
    t.ok(await drained(frontend), 'RG-032: a buffer over two regions');
    t.equal(raw.statusByte, 0, 'RG-032: status');
    // Cut between and within the entries of the table, at every byte (trap 20).
    for (let before = 1; before < 48; before++) {
      const shift = AT - before - raw.page;
      raw
        .indirect(raw.good(), shift)
        .table([cut - BigInt(before), 48, I])
        .offer(0);
      t.ok(await drained(frontend), `RG-018: a table cut after ${before} bytes`);
      t.equal(raw.statusByte, 0, 'RG-018: status');
      raw.ring.takeUsed();
      frontend.memory.bytes[Number(raw.status - memory.guestBase)] = STATUS_UNWRITTEN;
    }
    t.equal(errors(frontend.queue(0)), 0, 'no error');
    frontend.close();
    await checkHealthy(t, scene, 'RG-018, RG-032');
  });
});

t.test('RG-031: a buffer over a hole', async (t) => {
  const AT = 2 << 20;
  await withDaemon(t, [], async (scene) => {
    const frontend = scene.connect();
    await frontend.negotiate();
    const [low, high] = halves(frontend, AT) as [MemoryRegion, MemoryRegion];
    const moved = { ...high, guestAddress: high.guestAddress + 4096n };
    const { fd } = frontend.memory;
    await frontend.frontend.setMemTable([low, moved], [fd, fd]);
    await frontend.startQueues();
    const raw = new RawChains(frontend);
    const cut = frontend.memory.guestAddress(AT);
    raw.table([raw.header, 16, N, 1], [cut - 256n, 512, N, 2], [raw.status, 1, W]).offer(0);
    t.ok(await frontend.queue(0).signalled(frontend.queue(0).errFd, 2000), 'the queue stops');
    frontend.close();
    await checkHealthy(t, scene, 'RG-031');
  });
});

t.test('CS-060: indirect descriptors that were not negotiated', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start({ withoutFeatures: VIRTIO_F_RING_INDIRECT_DESC });
    const raw = new RawChains(frontend);
    raw.indirect(raw.good()).table([raw.at(), 48, I]).offer(0);
    t.ok(await drained(frontend), 'are taken all the same, as SPDK does');
    t.equal(raw.statusByte, 0);
    frontend.close();
    await checkHealthy(t, scene, 'CS-060');
  });
});

t.test('CS-042: the call descriptor replaced with requests in flight', async (t) => {
  const ROUNDS = 200;
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const queue = frontend.queue(0);
    const mark = frontend.memory.mark();
    // Closed at once after each: were its number used again, something else would be written to.
    let silent = 0;
    for (let i = 0; i < ROUNDS; i++) {
      frontend.memory.reset(mark);
      postWrites(frontend, 8);
      const call = native.eventfdCreate(0);
      await frontend.frontend.setVringCall(0, call);
      const served = await drained(frontend);
      silent += served && native.eventfdRead(call) > 0 ? 0 : 1;
      native.fdClose(call);
      queue.ring.takeUsed();
    }
    t.equal(silent, 0, 'each of them is signalled, at least for being set');
    await frontend.frontend.setVringCall(0, queue.callFd);
    t.ok(await roundTrip(new BlkDriver(frontend), {}, 4096), 'and the last one serves');
    frontend.close();
    await checkHealthy(t, scene, 'CS-042');
  });
});

const AVAIL_NO_INTERRUPT = 1;

t.test('calls and kicks', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const noEventIdx: Partial<TestFrontendOptions> = { withoutFeatures: VIRTIO_F_RING_EVENT_IDX };
    const frontend = await scene.start(noEventIdx);
    const queue = frontend.queue(0);
    const { view } = frontend.memory;
    const mark = frontend.memory.mark();
    let silent = true;
    let heard = true;
    for (let i = 0; i < 50; i++) {
      frontend.memory.reset(mark);
      view.setUint16(queue.ring.availOffset, AVAIL_NO_INTERRUPT, true);
      postWrites(frontend, 1);
      await drained(frontend);
      queue.ring.takeUsed();
      silent &&= native.eventfdRead(queue.callFd) === 0;
      view.setUint16(queue.ring.availOffset, 0, true);
      postWrites(frontend, 1);
      heard &&= await queue.signalled(queue.callFd, 2000);
      queue.ring.takeUsed();
    }
    t.ok(silent, 'RG-040: no call when none is wanted');
    t.ok(heard, 'RG-040: a call when one is wanted again');
    frontend.close();

    const second = await scene.start();
    const secondQueue = second.queue(0);
    const secondMark = second.memory.mark();
    let served = true;
    for (const garbage of [0, 1, 0x7fff, 0x8000, 0xffff, 0x1234]) {
      second.memory.reset(secondMark);
      postWrites(second, 4);
      secondQueue.ring.setUsedEvent(garbage);
      served &&= await drained(second);
      secondQueue.ring.takeUsed();
    }
    t.ok(served, 'RG-039: garbage in used_event');
    second.memory.view.setUint16(secondQueue.ring.usedOffset + 2, 0x4321, true);
    postWrites(second, 1);
    t.ok(await drained(second), 'RG-043: used.idx written back: the device counts for itself');
    for (let i = 0; i < 20_000; i++) {
      secondQueue.kick();
    }
    await pause(20);
    await checkIdle(t, scene, 'RG-044: after a storm of kicks without buffers');
    postWrites(second, 4);
    t.ok(await drained(second), 'RG-044: then requests');
    const [base] = await second.stopQueues();
    second.close();
    await checkHealthy(t, scene, 'calls and kicks');

    const third = scene.connect({ base: base as number });
    await third.negotiate();
    await third.startQueues();
    await third.stopQueues();
    postWrites(third, 4);
    native.eventfdRead(third.queue(0).kickFd);
    await third.startQueue(third.queue(0), base as number);
    t.ok(await drained(third), 'RG-044: the kick is missing after a reconnect');
    third.close();
    await checkHealthy(t, scene, 'RG-044');
  });
});
