import t from 'tap';
import { DeviceQueue } from '../../../src/core/frontend/index.js';
import { native } from '../../../src/native/index.js';
import { openDescriptors } from '../../support/resources.js';

t.test('kicks only with notifiers', async (t) => {
  const before = openDescriptors();
  const queue = new DeviceQueue(5);
  t.equal(queue.kick(), false);
  queue.enableNotifier();
  const { kickFd } = queue;
  queue.enableNotifier();
  t.equal(queue.kickFd, kickFd, 'enabled once');
  t.ok(queue.kick());
  t.equal(native.eventfdRead(kickFd as number), 1);
  queue.disableNotifier();
  queue.disableNotifier();
  t.equal(queue.kick(), false);
  queue.enableNotifier();
  queue.close();
  t.equal(openDescriptors(), before);
});

t.test('masked or not', async (t) => {
  const queue = new DeviceQueue(0);
  t.teardown(() => queue.close());
  t.equal(queue.notifiedFd, queue.maskedFd, 'masked at first');
  native.eventfdSignal(queue.notifiedFd);
  t.same([queue.takePending(), queue.takePending()], [true, false]);
  queue.masked = false;
  t.equal(queue.notifiedFd, queue.callFd);
});
