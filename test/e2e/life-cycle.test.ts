// LF rows: daemons that are stopped, killed and started again.

import { join } from 'node:path';
import t from 'tap';
import { BlkDriver, DaemonProcess, STATUS_OK, TestFrontend } from '../../src/testing/index.js';
import { pattern, temporaryDirectory } from '../support/disk.js';
import {
  checkHealthy,
  drained,
  IMAGE_BYTES,
  makeFile,
  type Posted,
  pause,
  postWrites,
  withDaemon,
} from './support.js';

const STOPPED_MS = 300;
const IN_FLIGHT = 32;

const succeeded = ({ memory }: TestFrontend, posted: readonly Posted[]) =>
  posted.every(({ statusOffset }) => memory.bytes[statusOffset] === STATUS_OK);

t.test('LF-003: a daemon stopped and continued', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const frontend = await scene.start();
    const before = postWrites(frontend, IN_FLIGHT / 2);
    scene.daemon.signal('SIGSTOP');
    const during = postWrites(frontend, IN_FLIGHT / 2);
    await pause(STOPPED_MS);
    scene.daemon.signal('SIGCONT');
    t.ok(await drained(frontend), 'what waited is served');
    t.ok(succeeded(frontend, [...before, ...during]));
    frontend.close();
    await checkHealthy(t, scene, 'LF-003');
  });
});

const RESTARTS = 4;

t.test('LF-006: killed with requests in flight, started again on the same socket', async (t) => {
  const directory = temporaryDirectory(t);
  const [image, socket] = [join(directory, 'disk.img'), join(directory, 's')];
  makeFile(image, IMAGE_BYTES);
  for (let round = 0; round < RESTARTS; round++) {
    const daemon = await DaemonProcess.blk(socket, ['--image', image]);
    t.teardown(() => daemon.signal('SIGKILL'));
    const frontend = await TestFrontend.start({ socket, memoryBytes: 4 << 20 });
    const driver = new BlkDriver(frontend);
    if (round > 0) {
      const kept = await driver.read(4096, 4096);
      t.equal(
        Buffer.compare(kept, pattern(4096, round - 1)),
        0,
        `round ${round}: what was flushed`,
      );
    }
    await driver.write(4096, pattern(4096, round));
    await driver.flush();
    postWrites(frontend, IN_FLIGHT);
    daemon.signal('SIGKILL');
    t.equal((await daemon.exited).signal, 'SIGKILL');
    frontend.close();
  }
});
