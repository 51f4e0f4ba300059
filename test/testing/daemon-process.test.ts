import { join } from 'node:path';
import t from 'tap';
import { DaemonProcess } from '../../src/testing/index.js';
import { startDisk, temporaryDirectory } from '../support/disk.js';

t.test('ready, resources, stop', async (t) => {
  const { daemon } = await startDisk(t);
  t.ok(daemon.alive);
  t.ok(daemon.resources().fds > 5);
  t.ok(daemon.cpuSeconds() >= 0);
  t.ok(daemon.residentBytes() > 16 << 20);
  t.match(await daemon.stop(), { code: 0, signal: null });
  t.notOk(daemon.alive);
});

t.test('one that ends before it listens', async (t) => {
  const socket = join(temporaryDirectory(t), 's');
  await t.rejects(DaemonProcess.blk(socket, ['--image', '/does/not/exist']), /does not exist/);
});
