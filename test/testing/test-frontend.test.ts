import t from 'tap';
import { TestFrontend } from '../../src/testing/index.js';
import { startDisk } from '../support/disk.js';

t.test('negotiates what is offered less what is left out', async (t) => {
  const disk = await startDisk(t, ['--num-queues', '2']);
  const frontend = await TestFrontend.start({ ...disk, queues: 2, withoutFeatures: 1n << 29n });
  t.equal(frontend.features & (1n << 29n), 0n, 'no event index');
  t.not(frontend.features & (1n << 32n), 0n, 'VERSION_1');
  t.throws(() => frontend.queue(2), RangeError);
  t.same(await frontend.stopQueues(), [65500, 65500], 'nothing was made available');
  frontend.close();
});

t.test('signalled() tells a call from none', async (t) => {
  const disk = await startDisk(t);
  const frontend = await TestFrontend.start(disk);
  const queue = frontend.queue(0);
  t.notOk(await queue.signalled(queue.errFd, 20));
  queue.kick();
  t.ok(await queue.signalled(queue.kickFd, 1000));
  await frontend.stopQueues();
  frontend.close();
});
