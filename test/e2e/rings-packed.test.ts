// Packed rings on a real daemon: every layout carries data, rings stop and go on at any place, and
// what no driver may write costs its queue and nothing else.

import t from 'tap';
import {
  DESC_INDIRECT as I,
  DESC_NEXT as N,
  type PackedDescriptor,
  type PackedDriverRing,
  DESC_WRITE as W,
} from '../../src/core/frontend/index.js';
import { VIRTIO_F_RING_EVENT_IDX, VIRTIO_F_RING_PACKED } from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { BLK_OUT, BlkDriver, type TestFrontend, TestQueue } from '../../src/testing/index.js';
import { pattern } from '../support/disk.js';
import { checkHealthy, checkIdle, outcome, pause, withDaemon } from './support.js';

const ERR_TIMEOUT_MS = 2000;
const RESETS = 20;

t.test('packed rings carry what split rings carry', async (t) => {
  await withDaemon(t, ['--num-queues', '2'], async (scene) => {
    for (const queueSize of [3, 61, 256]) {
      for (const withoutFeatures of [0n, VIRTIO_F_RING_EVENT_IDX]) {
        const frontend = await scene.start({ packed: true, queues: 2, queueSize, withoutFeatures });
        const driver = new BlkDriver(frontend);
        const what = `size ${queueSize}${withoutFeatures ? '' : ', event index'}`;
        for (let round = 0; round < 4; round++) {
          const bytes = pattern(8192, queueSize + round);
          await driver.write(round * 16, bytes);
          t.same(await driver.read(round * 16, 8192), bytes, `${what}: as written`);
        }
        // As many as fit at once, over the end of the ring.
        const each = Math.floor(queueSize / 3);
        const many = Array.from({ length: Math.min(each, 40) }, (_, i) => ({
          type: BLK_OUT,
          sector: i * 8,
          out: pattern(4096, i),
          queue: 1,
        }));
        const results = await driver.requests(many);
        t.ok(
          results.every(({ status, usedBytes }) => status === 0 && usedBytes === 1),
          `${what}: ${many.length} at once`,
        );
        const last = many.length - 1;
        const read = { type: 0, sector: last * 8, inBytes: 4096, indirect: true, pieceBytes: 512 };
        const { data, usedBytes } = await driver.request(read);
        t.same(data, pattern(4096, last), `${what}: read through a table`);
        t.equal(usedBytes, 4097);
        frontend.close();
      }
    }
    await checkHealthy(t, scene, 'packed rings');
  });
});

t.test('PK-013: stopped at any place, a packed ring goes on from its base', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start({ packed: true, queueSize: 11 });
    const driver = new BlkDriver(frontend);
    const queue = frontend.queue(0);
    for (let round = 0; round < 25; round++) {
      await driver.write(round, pattern(512, round));
      const base = await frontend.frontend.getVringBase(0);
      t.equal(base, queue.driver.resumeBase, `round ${round}: 0x${base.toString(16)}`);
      await frontend.startQueue(queue, base);
    }
    t.same(await driver.read(24, 512), pattern(512, 24));
    await frontend.frontend.getVringBase(0);
    // virtio-user says only where avail is; index 0 with wrap counter 1 is where a ring begins.
    const fresh = new TestQueue(frontend.memory, 0, { size: 11, eventIdx: true, packed: true });
    frontend.queues[0] = fresh;
    queue.close();
    await frontend.startQueue(fresh, 0x8000);
    t.same(await driver.read(24, 512), pattern(512, 24), 'from a base without a used position');
    t.equal(await frontend.frontend.getVringBase(0), fresh.driver.resumeBase);
    frontend.close();
    await checkHealthy(t, scene, 'bases');
  });
});

t.test('PK-010 PK-013: sizes, bases and addresses that are refused', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const { frontend } = scene.connect({ packed: true });
    const offered = await frontend.getFeatures();
    t.equal(offered & VIRTIO_F_RING_PACKED, VIRTIO_F_RING_PACKED);
    await frontend.setProtocolFeatures(await frontend.getProtocolFeatures());
    await frontend.setFeatures(offered);
    t.equal(await frontend.getVringBase(0), 0x8000_8000, 'where a packed ring begins');
    const [NACK, WORK] = ['NACK', 'WORK'] as const;
    const sizes = [
      [1, WORK],
      [100, WORK],
      [0, NACK],
      [32769, NACK],
      [7, WORK],
    ] as const;
    for (const [size, answer] of sizes) {
      t.equal(await outcome(frontend.setVringNum(0, size)), answer, `size ${size}`);
    }
    const bases = [
      [0x8000_8000, WORK],
      [0x0006_0006, WORK],
      [0x8006_0001, WORK],
      [0x8000_8007, NACK],
      [0x8007_8000, NACK],
      [0x8005_8003, NACK],
      [0x8003_0005, NACK],
      [0x0000_ffff, NACK],
    ] as const;
    for (const [base, answer] of bases) {
      t.equal(await outcome(frontend.setVringBase(0, base)), answer, `0x${base.toString(16)}`);
    }
    const good = { index: 0, flags: 0, logAddress: 0n, descriptorAddress: 0x1000n };
    const addresses = [
      [0x2000n, 0x2004n, WORK],
      [0x2002n, 0x2004n, NACK],
      [0x2000n, 0x2006n, NACK],
    ] as const;
    for (const [availableAddress, usedAddress, answer] of addresses) {
      const asked = frontend.setVringAddr({ ...good, availableAddress, usedAddress });
      t.equal(await outcome(asked), answer, `${availableAddress} ${usedAddress}`);
    }
    frontend.close();
    await checkHealthy(t, scene, 'PK-010');
  });
});

/** Descriptors of one good write, and the room for a table. */
class PackedChains {
  readonly ring: PackedDriverRing;
  readonly #frontend: TestFrontend;
  readonly #page: number;

  constructor(frontend: TestFrontend) {
    this.#frontend = frontend;
    this.ring = frontend.queue(0).packedRing;
    this.#page = frontend.memory.allocate(64 << 10, 4096);
    frontend.memory.bytes.fill(0, this.#page, this.#page + (64 << 10));
    frontend.memory.view.setUint32(this.#page, BLK_OUT, true);
  }

  at(offset: number): bigint {
    return this.#frontend.memory.guestAddress(this.#page + offset);
  }

  good(id: number): PackedDescriptor[] {
    return [
      { address: this.at(0), length: 16, id, flags: N },
      { address: this.at(4096), length: 512, id, flags: N },
      { address: this.at(16), length: 1, id, flags: W },
    ];
  }

  /** Fills a table at 8192 with copies of one readable element. */
  table(entries: number): this {
    const { view } = this.#frontend.memory;
    for (let i = 0; i < entries; i++) {
      const at = this.#page + 8192 + i * 16;
      view.setBigUint64(at, this.at(0), true);
      view.setUint32(at + 8, 16, true);
    }
    return this;
  }

  offer(...chain: readonly PackedDescriptor[]): void {
    this.ring.addRaw(chain);
    this.ring.publish();
    this.#frontend.queue(0).kick();
  }

  named(length: number, flags = I): PackedDescriptor {
    return { address: this.at(8192), length, id: 0, flags };
  }
}

const BROKEN: readonly (readonly [string, (raw: PackedChains) => void])[] = [
  [
    'PK-004: a chain longer than the ring',
    (raw) => {
      const one = { address: raw.at(0), length: 1, id: 0, flags: N };
      raw.offer(...Array.from({ length: 9 }, () => one));
    },
  ],
  ['PK-005: id = size', (raw) => raw.offer(...raw.good(8))],
  ['PK-005: id 65535', (raw) => raw.offer(...raw.good(0xffff))],
  [
    'PK-006: one id twice',
    (raw) => {
      raw.ring.addRaw(raw.good(1));
      raw.offer(...raw.good(1));
    },
  ],
  ['PK-007: table of 0 bytes', (raw) => raw.offer(raw.named(0))],
  ['PK-007: table of 40 bytes', (raw) => raw.table(3).offer(raw.named(40))],
  ['PK-007: table of 1025 entries', (raw) => raw.offer(raw.named(1025 * 16))],
  [
    'PK-007: INDIRECT and NEXT',
    (raw) => raw.table(3).offer(raw.named(48, I | N), raw.named(48, 0)),
  ],
  [
    'PK-007: a table in a list',
    (raw) => raw.table(3).offer({ ...raw.named(16), flags: N }, raw.named(48)),
  ],
  [
    'readable after writable',
    (raw) => raw.offer({ ...raw.named(1), flags: W | N }, { ...raw.named(1), flags: 0 }),
  ],
  ['address outside', (raw) => raw.offer({ ...raw.named(1), address: 16n, flags: 0 })],
];

async function renewPacked(frontend: TestFrontend): Promise<void> {
  await frontend.frontend.getVringBase(0);
  frontend.queue(0).close();
  const options = { size: 8, eventIdx: true, packed: true, base: 6 };
  const queue = new TestQueue(frontend.memory, 0, options);
  frontend.queues[0] = queue;
  await frontend.startQueue(queue, queue.driver.resumeBase);
}

async function errorSignals({ errFd }: TestQueue): Promise<number> {
  const endMs = performance.now() + ERR_TIMEOUT_MS;
  let seen = 0;
  while (seen === 0 && performance.now() < endMs) {
    await pause(1);
    seen += native.eventfdRead(errFd);
  }
  await pause(5);
  return seen + native.eventfdRead(errFd);
}

t.test('broken packed rings', async (t) => {
  await withDaemon(t, ['--num-queues', '2'], async (scene) => {
    const frontend = await scene.start({ packed: true, queues: 2, queueSize: 8 });
    const driver = new BlkDriver(frontend);
    const out = new Uint8Array(512);
    const mark = frontend.memory.mark();
    for (const [id, breakIt] of BROKEN) {
      frontend.memory.reset(mark);
      await renewPacked(frontend);
      breakIt(new PackedChains(frontend));
      t.equal(await errorSignals(frontend.queue(0)), 1, `${id}: the queue stops and says so once`);
      const other = await driver.request({ type: BLK_OUT, out, queue: 1 });
      t.equal(other.status, 0, `${id}: queue 1 goes on`);
    }
    await checkIdle(t, scene, 'with a broken queue');
    frontend.memory.reset(mark);
    await renewPacked(frontend);
    await driver.write(0, out);
    t.equal(await frontend.frontend.getVringBase(0), frontend.queue(0).driver.resumeBase);
    frontend.close();
    await checkHealthy(t, scene, 'broken packed rings');
  });
});

t.test('PK-001 PK-002 PK-009 PK-011 PK-015: odd, and no reason to stop', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start({ packed: true, queueSize: 8, base: 0x8000 });
    const raw = new PackedChains(frontend);
    const queue = frontend.queue(0);
    for (const flags of [0x8000 | N, 0x8080, 0, 0x8080 | N | W | I]) {
      raw.ring.writeFlags(0, flags); // PK-001, PK-011
      queue.kick();
      await pause(2);
    }
    raw.ring.writeFlags(0, 0x80 | N); // PK-002: its second half never comes
    queue.kick();
    await checkIdle(t, scene, 'PK-002: an incomplete chain');
    t.same(raw.ring.takeUsed(), [], 'nothing is consumed');
    const zero = { address: 0n, length: 0, id: 3, flags: 0 };
    raw.offer({ ...zero, flags: N }, zero); // PK-015, and the half chain is whole
    t.ok(await queue.signalled(queue.callFd), 'PK-015: comes back');
    t.same(raw.ring.takeUsed(), [{ id: 3, length: 0 }]);
    for (const [place, flags] of [
      [8, 2],
      [0xffff, 2],
      [0, 3],
      [0x8000, 0xfffc],
    ] as const) {
      raw.ring.setDriverEvent(place, flags); // PK-009
      native.eventfdRead(queue.callFd);
      raw.offer(...raw.good(4));
      t.ok(
        await queue.signalled(queue.callFd),
        `PK-009: called with place ${place} flags ${flags}`,
      );
      t.same(raw.ring.takeUsed(), [{ id: 4, length: 1 }]);
    }
    t.equal(native.eventfdRead(queue.errFd), 0, 'no error');
    frontend.close();
    await checkHealthy(t, scene, 'odd packed rings');
  });
});

t.test('RING_RESET: one ring stops, moves and starts while the others run', async (t) => {
  await withDaemon(t, ['--num-queues', '2', '--workers', '1'], async (scene) => {
    for (const packed of [false, true]) {
      const frontend = await scene.start({ packed, queues: 2, queueSize: 32 });
      const driver = new BlkDriver(frontend);
      // Before there are requests, which give their memory back together.
      const queues = Array.from(
        { length: RESETS },
        (_, i) =>
          new TestQueue(frontend.memory, 0, { size: packed ? 5 + i : 8, eventIdx: true, packed }),
      );
      let running = true;
      let served = 0;
      const busy = (async () => {
        while (running) {
          const out = pattern(4096, served);
          const { status } = await driver.request({ type: BLK_OUT, sector: 800, out, queue: 1 });
          t.equal(status, 0);
          served++;
        }
      })();
      for (const [round, queue] of queues.entries()) {
        const before = served;
        await frontend.frontend.setVringEnable(0, false);
        await frontend.frontend.getVringBase(0);
        frontend.queue(0).close();
        frontend.queues[0] = queue;
        await frontend.startQueue(queue, queue.driver.resumeBase);
        await frontend.frontend.setVringEnable(0, true);
        await driver.write(round, pattern(512, round));
        while (served === before) {
          await pause(1);
        }
      }
      running = false;
      await busy;
      for (const round of queues.keys()) {
        t.same(await driver.read(round, 512), pattern(512, round), `round ${round}`);
      }
      t.ok(
        served >= RESETS,
        `${packed ? 'packed' : 'split'}: ${served} requests on the other ring`,
      );
      frontend.close();
    }
    await checkHealthy(t, scene, 'RING_RESET');
  });
});
