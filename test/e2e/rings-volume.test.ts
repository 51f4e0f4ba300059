// Many requests through one ring: every head that is popped comes back.

import t from 'tap';
import { DESC_WRITE } from '../../src/core/frontend/index.js';
import { native } from '../../src/native/index.js';
import { BlkDriver } from '../../src/testing/index.js';
import { pattern } from '../support/disk.js';
import { checkHealthy, withDaemon } from './support.js';

const SIZE = 256;
const HEADS = 200_000;
/** I4: a leak of 120 bytes for each head would show; a warm V8 heap takes about 6 MiB. */
const GROWTH_BYTES_MAX = 24 << 20;

t.test('RG-047, RG-038 200,000 heads all come back, over three wraps of the indices', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start({ queueSize: SIZE, base: 1 });
    const queue = frontend.queue(0);
    const { ring } = queue;
    const driver = new BlkDriver(frontend);
    await driver.write(0, pattern(4096, 1));
    const before = scene.daemon.residentBytes();
    // Chains without room for a status are the cheapest there are: they return at once.
    for (let i = 0; i < SIZE; i++) {
      ring.writeDescriptor(i, { address: 0n, length: 0, flags: DESC_WRITE, next: 0 });
    }
    let offered = 0;
    let taken = 0;
    while (taken < HEADS) {
      for (; offered < Math.min(HEADS, taken + SIZE); offered++) {
        ring.makeAvailable(offered % SIZE);
      }
      if (ring.publish()) {
        queue.kick();
      }
      taken += ring.takeUsed().length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.equal(ring.publishedUsed, ring.availIndex, 'as many used as were made available');
    t.equal(native.eventfdRead(queue.errFd), 0, 'no error');
    const growth = scene.daemon.residentBytes() - before;
    t.ok(growth < GROWTH_BYTES_MAX, `I4: grown by ${growth} bytes`);
    t.same(await driver.read(0, 4096), pattern(4096, 1), 'the ring is as good as new');
    frontend.close();
    await checkHealthy(t, scene);
  });
});
