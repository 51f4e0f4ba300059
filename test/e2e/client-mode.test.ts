// `--client`: the front-end listens, the daemon connects, and goes on doing so.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Listener, listenOnPath } from '../../src/core/daemon/listener.js';
import { BlkDriver, DaemonProcess, TestFrontend } from '../../src/testing/index.js';
import { pattern, temporaryDirectory } from '../support/disk.js';
import { until } from '../support/resources.js';
import { IMAGE_BYTES, makeFile } from './support.js';

function startClient(t: Test, args: readonly string[] = []) {
  const directory = temporaryDirectory(t);
  const image = join(directory, 'disk.img');
  const socket = join(directory, 's');
  makeFile(image, IMAGE_BYTES);
  const words = ['blk', '--client', '--socket', socket, '--image', image, ...args];
  const daemon = new DaemonProcess(words, socket);
  t.teardown(() => daemon.stop());
  return { daemon, socket };
}

/** A front-end with a running ring on the next connection. */
async function accept(listener: Listener, socket: string): Promise<TestFrontend> {
  const connectionFd = (await listener.accept()) as number;
  return TestFrontend.start({ socket, connectionFd, memoryBytes: 4 << 20 });
}

t.test('connects to front-ends that come, leave and come back', async (t) => {
  const { daemon, socket } = startClient(t);
  await until('the daemon waits', () => daemon.stderr.includes('"connecting"'));
  let descriptors = 0;
  for (let round = 0; round < 4; round++) {
    const listener = listenOnPath(socket);
    const frontend = await accept(listener, socket);
    const driver = new BlkDriver(frontend);
    if (round > 0) {
      t.same(await driver.read(8, 512), pattern(512, round - 1), 'the disk is the same');
    }
    await driver.write(8, pattern(512, round));
    const { fds } = daemon.resources();
    descriptors ||= fds;
    t.equal(fds, descriptors, 'no descriptor more than in the first session');
    // Half of them say goodbye, and half take their socket with them.
    if (round % 2 === 0) {
      await frontend.stopQueues();
    }
    frontend.close();
    listener.close();
  }
  const { code } = await daemon.stop();
  t.equal(code, 0, 'SIGTERM while it waits');
});

t.test('--once ends with the first session; the socket is the front-end’s', async (t) => {
  const { daemon, socket } = startClient(t, ['--once']);
  const listener = listenOnPath(socket);
  const frontend = await accept(listener, socket);
  await new BlkDriver(frontend).write(0, pattern(512, 1));
  frontend.close();
  t.equal((await daemon.exited).code, 0);
  t.ok(existsSync(socket), 'not ours to remove');
  listener.close();
});

t.test('SIGTERM in a session', async (t) => {
  const { daemon, socket } = startClient(t);
  const listener = listenOnPath(socket);
  const frontend = await accept(listener, socket);
  await new BlkDriver(frontend).write(0, pattern(512, 1));
  t.equal((await daemon.stop()).code, 0);
  frontend.close();
  listener.close();
});
