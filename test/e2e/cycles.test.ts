// CS-023: front-ends that come and go, thousands of times: nothing of them stays.

import t from 'tap';
import { VhostUserFrontend } from '../../src/core/frontend/index.js';
import { encodeFrontendRequest, VIRTIO_F_VERSION_1 } from '../../src/core/protocol/index.js';
import { BlkDriver } from '../../src/testing/index.js';
import { pattern } from '../support/disk.js';
import { checkClean, checkHealthy, resources, type Scene, withDaemon } from './support.js';

const NEGOTIATED = 10_000;
const RUNNING = 1000;
/** Before counting: caches, the heap and the allocator's arenas have found their size. */
const WARM_UP = 1000;
const RUNNING_WARM_UP = 100;
/** I4: 1 KiB a cycle would show; V8's heap wanders by some MiB. */
const GROWTH_BYTES_MAX = 8 << 20;

const NO_ACK = { needReply: false };
const SET_FEATURES = encodeFrontendRequest('SET_FEATURES', VIRTIO_F_VERSION_1, NO_ACK);
const SET_OWNER = encodeFrontendRequest('SET_OWNER', undefined, NO_ACK);

/** Connects, negotiates, waits for an answer, leaves. */
async function negotiate({ daemon }: Scene): Promise<void> {
  const frontend = VhostUserFrontend.connect(daemon.socket);
  frontend.sendRaw(SET_OWNER);
  frontend.sendRaw(SET_FEATURES);
  await frontend.getFeatures();
  frontend.close();
}

/** The same with a ring that runs and has done something. */
async function run(scene: Scene): Promise<void> {
  const frontend = await scene.start({ memoryBytes: 64 << 10, queueSize: 16 });
  await new BlkDriver(frontend).write(0, pattern(512, 1));
  frontend.close();
}

async function repeat(count: number, scene: Scene, cycle: (scene: Scene) => Promise<void>) {
  for (let i = 0; i < count; i++) {
    await cycle(scene);
  }
}

t.test('CS-023: cycles', async (t) => {
  await withDaemon(t, ['--log-level', 'warn'], async (scene) => {
    const { daemon } = scene;
    for (const [what, cycle, count, warmUp] of [
      ['negotiated', negotiate, NEGOTIATED, WARM_UP],
      ['running', run, RUNNING, RUNNING_WARM_UP],
    ] as const) {
      await repeat(warmUp, scene, cycle);
      await checkClean(t, scene, `${what}: warm`);
      const before = daemon.residentBytes();
      const startMs = performance.now();
      await repeat(count, scene, cycle);
      const ms = (performance.now() - startMs) / count;
      await checkClean(t, scene, what);
      t.same(resources(daemon), scene.baseline, `${what}: descriptors and mappings (I3)`);
      const growth = daemon.residentBytes() - before;
      t.ok(growth < GROWTH_BYTES_MAX, `${what}: grown by ${growth >> 10} KiB (I4)`);
      t.comment(`${count} cycles, ${ms.toFixed(2)} ms each, ${growth >> 10} KiB`);
    }
    await checkHealthy(t, scene, 'CS-023');
  });
});
