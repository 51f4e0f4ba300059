// LF rows: daemons that are stopped, killed and started again.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BlkDriver, DaemonProcess, STATUS_OK, TestFrontend } from '../../src/testing/index.js';
import { pattern, temporaryDirectory } from '../support/disk.js';
import { until } from '../support/until.js';
import {
  checkClean,
  checkHealthy,
  checkIdle,
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

const KILLS = 5;

/** A front-end of its own process, with running rings. */
class ChildFrontend {
  readonly #child: ChildProcess;
  readonly #said: unknown[] = [];

  private constructor(t: Test, socket: string) {
    this.#child = fork(new URL('./front-end-child.js', import.meta.url), [socket]);
    this.#child.on('message', (word) => this.#said.push(word));
    t.teardown(() => this.signal('SIGKILL'));
  }

  static async start(t: Test, socket: string): Promise<ChildFrontend> {
    const child = new ChildFrontend(t, socket);
    await child.says('ready');
    return child;
  }

  says(word: string): Promise<void> {
    return until(() => this.#said.includes(word));
  }

  /** Ends when its requests are in the ring. */
  async post(): Promise<void> {
    this.#child.send('write');
    await this.says('posted');
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.signal('SIGKILL');
    await exited;
  }
}

t.test('LF-004: a front-end stopped, continued, and killed with requests in flight', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const stopped = await ChildFrontend.start(t, scene.daemon.socket);
    await stopped.post();
    stopped.signal('SIGSTOP');
    await pause(STOPPED_MS);
    await checkIdle(t, scene, 'LF-004: while it is stopped');
    stopped.signal('SIGCONT');
    await stopped.says('served');
    await stopped.kill();
    for (let i = 0; i < KILLS; i++) {
      const killed = await ChildFrontend.start(t, scene.daemon.socket);
      await killed.post();
      await killed.kill();
      await checkClean(t, scene, 'LF-004: killed');
    }
    await checkHealthy(t, scene, 'LF-004');
  });
});

t.test('LF-005: daemon and front-end killed', async (t) => {
  const directory = temporaryDirectory(t);
  const [image, socket] = [join(directory, 'disk.img'), join(directory, 's')];
  makeFile(image, IMAGE_BYTES);
  const start = () => DaemonProcess.blk(socket, ['--image', image]);
  const first = await start();
  t.teardown(() => first.signal('SIGKILL'));
  const child = await ChildFrontend.start(t, socket);
  await child.post();
  first.signal('SIGKILL');
  await Promise.all([child.kill(), first.exited]);
  const second = await start();
  const frontend = await TestFrontend.start({ socket, memoryBytes: 4 << 20 });
  const driver = new BlkDriver(frontend);
  await driver.write(4096, pattern(4096, 5));
  t.equal(Buffer.compare(await driver.read(4096, 4096), pattern(4096, 5)), 0);
  frontend.close();
  t.equal((await second.stop()).code, 0);
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
