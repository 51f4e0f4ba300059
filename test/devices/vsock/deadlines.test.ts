import t from 'tap';
import type { HandlerContext } from '../../../src/core/device.js';
import { Deadlines } from '../../../src/devices/vsock/deadlines.js';
import { native, READABLE } from '../../../src/native/index.js';

t.test('each kind in its order, also one that is added by another', async (t) => {
  let timer = -1;
  const context = {
    watch: (fd: number) => {
      timer = fd;
    },
    unwatch: () => {},
  } as unknown as HandlerContext;
  const deadlines = new Deadlines(context, 7);
  const seen: string[] = [];
  deadlines.add(300, () => {
    seen.push('first');
    deadlines.add(1, () => seen.push('added'));
  });
  deadlines.add(300, () => seen.push('second'));
  deadlines.add(60_000, () => seen.push('never'));
  deadlines.tick();
  t.same(seen, []);
  const watcher = new native.Watcher(timer, () => {
    deadlines.tick();
  });
  watcher.watch(READABLE);
  while (seen.length < 3) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.same(seen, ['first', 'second', 'added']);
  watcher.close();
  deadlines.close();
});
