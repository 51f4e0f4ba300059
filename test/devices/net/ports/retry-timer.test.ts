import t from 'tap';
import type { HandlerContext } from '../../../../src/core/device.js';
import { RetryTimer } from '../../../../src/devices/net/ports/retry-timer.js';
import { openDescriptors } from '../../../support/resources.js';

t.test('watches a timer while it runs', async (t) => {
  const calls: string[] = [];
  const context = {
    watch: (_: number, token: number) => calls.push(`watch ${token}`),
    unwatch: (token: number) => calls.push(`unwatch ${token}`),
  };
  const before = openDescriptors();
  const timer = new RetryTimer(context as unknown as HandlerContext, 7);
  timer.stop();
  timer.start();
  timer.start();
  t.equal(timer.running, true);
  timer.stop();
  t.same(calls, ['watch 7', 'unwatch 7']);
  t.same([timer.running, openDescriptors()], [false, before]);
});
