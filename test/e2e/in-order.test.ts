// VIRTIO_F_IN_ORDER through the whole daemon, both ring formats: a driver that relies on the order
// gets it, whichever request is done first. Recovery is in kill.test.ts.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { VIRTIO_F_IN_ORDER } from '../../src/core/protocol/index.js';
import {
  BLK_FLUSH,
  BLK_IN,
  BLK_OUT,
  BlkDriver,
  type TestFrontend,
  VSOCK_SHUTDOWN,
} from '../../src/testing/index.js';
import { startCard } from '../support/card.js';
import { frame } from '../support/frames.js';
import { temporaryDirectory } from '../support/resources.js';
import { listen } from '../support/stream-peer.js';
import { until } from '../support/until.js';
import { nextChunk, toEnd, vsockScene } from '../support/vsock-scene.js';
import { checkHealthy, withDaemon } from './support.js';

const ROUNDS = 20;
const READS = 6;
const BLOCK_BYTES = 4096;
const WAIT_MS = 10_000;

/** A write, a flush of it, and reads of what the page cache holds: done long before the flush. */
const REQUESTS = [BLK_OUT, BLK_FLUSH, ...Array.from({ length: READS }, () => BLK_IN)];

/** All of REQUESTS at once; ids in the order of adding, and in that of coming back. */
async function race(frontend: TestFrontend): Promise<{ added: number[]; returned: number[] }> {
  const { memory } = frontend;
  const queue = frontend.queue(0);
  const mark = memory.mark();
  const added = REQUESTS.map((type, i) => {
    const header = memory.allocate(16);
    memory.bytes.fill(0, header, header + 16);
    memory.view.setUint32(header, type, true);
    memory.view.setBigUint64(header + 8, BigInt(i * 8), true);
    const data = { offset: memory.allocate(BLOCK_BYTES, BLOCK_BYTES), bytes: BLOCK_BYTES };
    return queue.driver.add([
      { offset: header, bytes: 16, writable: false },
      ...(type === BLK_FLUSH ? [] : [{ ...data, writable: type === BLK_IN }]),
      { offset: memory.allocate(1, 1), bytes: 1, writable: true },
    ]);
  });
  if (queue.driver.publish()) {
    queue.kick();
  }
  const returned: number[] = [];
  const endMs = performance.now() + WAIT_MS;
  while (returned.length < added.length && performance.now() < endMs) {
    returned.push(...queue.driver.takeUsed().map(({ id }) => id));
    await new Promise((resolve) => setImmediate(resolve));
  }
  memory.reset(mark);
  return { added, returned };
}

/** Rounds in which chains came back in another order than they were added. */
async function overtaken(frontend: TestFrontend): Promise<number> {
  let count = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { added, returned } = await race(frontend);
    count += String(added) === String(returned) ? 0 : 1;
  }
  return count;
}

for (const packed of [false, true]) {
  const rings = packed ? 'packed' : 'split';

  t.test(`disk, ${rings}: what ends early waits for its turn`, async (t) => {
    await withDaemon(t, ['--in-order'], async (scene) => {
      for (const inOrder of [false, true]) {
        const frontend = await scene.start({ packed, inOrder, queueSize: 32 });
        t.equal((frontend.features & VIRTIO_F_IN_ORDER) !== 0n, inOrder);
        // Learns which pages are in the cache.
        await new BlkDriver(frontend).read(0, REQUESTS.length * BLOCK_BYTES);
        const count = await overtaken(frontend);
        t.equal(count > 0, !inOrder, `${inOrder ? 'in order' : 'any order'}: ${count} overtaken`);
        await frontend.stopQueues();
        frontend.close();
      }
      await checkHealthy(t, scene, 'IN_ORDER');
    });
  });

  t.test(`vsock, ${rings}: a stream both ways in order`, async (t) => {
    await streamBothWays(t, packed);
  });
}

t.test('card: frames both ways in order', async (t) => {
  const path = join(temporaryDirectory(t), 'peer');
  const { peer } = await listen(t, path);
  const card = await startCard(t, { stream: path });
  const { frontend, driver, end } = await card.connect({ inOrder: true, queueSize: 16 });
  t.equal(frontend.features & VIRTIO_F_IN_ORDER, VIRTIO_F_IN_ORDER);
  const host = await peer;
  driver.post(4, 600);
  for (let round = 0; round < 8; round++) {
    // Two chains a frame, so that they merge, and the ring wraps.
    driver.post(8, 600);
    const sent = Array.from({ length: 4 }, (_, i) => frame(1000 + i, 4 * round + i));
    host.send(...sent);
    for (const bytes of sent) {
      const got = await driver.receive();
      t.equal(got.chains, 2);
      t.equal(Buffer.compare(got.frame, bytes), 0, `round ${round}: received`);
    }
    for (const bytes of sent) {
      await driver.transmit(bytes);
    }
    await until(() => host.frames.length === 4 * (round + 1));
    t.same(host.frames.slice(-4), sent.map(Buffer.from), `round ${round}: sent`);
  }
  await end();
});

async function streamBothWays(t: Test, packed: boolean): Promise<void> {
  const scene = await vsockScene(t);
  const driver = await scene.start(t, {}, { packed, inOrder: true });
  t.equal(driver.frontend.features & VIRTIO_F_IN_ORDER, VIRTIO_F_IN_ORDER);
  const bytes = Buffer.alloc(1 << 20, 'in order');
  const got: Promise<Buffer>[] = [];
  await scene.listen(t, 1, (socket) => {
    got.push(toEnd(socket));
  });
  const guest = await driver.connect(5001, 1);
  await driver.send(guest, bytes);
  await driver.say(guest, VSOCK_SHUTDOWN, 2);
  t.equal(Buffer.compare((await got[0]) as Buffer, bytes), 0, 'guest to host');
  const host = scene.connect(t, 'CONNECT 7\n');
  const second = await driver.accept();
  await nextChunk(host);
  host.write(bytes);
  const back = await driver.receive(second, bytes.byteLength);
  t.equal(Buffer.compare(Buffer.from(back), bytes), 0, 'host to guest');
}
