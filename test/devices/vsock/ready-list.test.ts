import t from 'tap';
import type { Connection } from '../../../src/devices/vsock/connection.js';
import { ReadyList } from '../../../src/devices/vsock/ready-list.js';

t.test('in turns, each once', async (t) => {
  const list = new ReadyList();
  const items = Array.from({ length: 5 }, () => ({ listed: false }) as Connection);
  for (const item of [...items, ...items]) {
    list.push(item);
  }
  const seen: number[] = [];
  for (let i = 0; i < 12; i++) {
    const item = list.shift() as Connection;
    seen.push(items.indexOf(item));
    if (i < 7) {
      list.push(item);
    }
  }
  t.same(seen, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
  t.equal(list.shift(), undefined);
  t.ok(list.empty);
});

t.test('grows with those who come, in the middle of a round too', async (t) => {
  const list = new ReadyList();
  const items = Array.from({ length: 300 }, () => ({ listed: false }) as Connection);
  for (const item of items.slice(0, 50)) {
    list.push(item);
  }
  for (const item of items.slice(0, 40)) {
    t.equal(list.shift(), item);
  }
  for (const item of items.slice(50)) {
    list.push(item);
  }
  t.same(
    items.slice(40).map((item) => list.shift() === item),
    new Array(260).fill(true),
  );
  t.ok(list.empty);
});
