import t from 'tap';
import { Backlog, BacklogPool } from '../../../src/devices/vsock/backlog.js';

t.test('first in, first out, in one piece', async (t) => {
  const backlog = new Backlog(new BacklogPool(8, 1));
  let written = 0;
  let read = 0;
  for (let round = 0; round < 50; round++) {
    const bytes = 1 + (round % 8);
    const room = backlog.append(bytes) as Uint8Array;
    t.equal(room.byteLength, bytes);
    for (let i = 0; i < bytes; i++) {
      room[i] = written++ & 0xff;
    }
    while (backlog.bytes > 3) {
      t.equal(backlog.buffer[backlog.head], read++ & 0xff);
      backlog.shift(1);
    }
  }
  t.ok(written > 200);
});

t.test('the pool bounds how many hold something', async (t) => {
  const pool = new BacklogPool(8, 2);
  const [a, b, c] = [new Backlog(pool), new Backlog(pool), new Backlog(pool)];
  t.ok(a.append(1));
  t.ok(b.append(1));
  t.equal(c.append(1), undefined);
  a.shift(1);
  t.equal(pool.lent, 1, 'an empty one gives its buffer back');
  t.ok(c.append(1));
  c.clear();
  b.clear();
  t.equal(pool.lent, 0);
});

t.test('no room', async (t) => {
  const backlog = new Backlog(new BacklogPool(8, 1));
  t.equal(backlog.append(17), undefined);
  t.equal(backlog.bytes, 0);
  backlog.clear();
  t.same([...backlog.buffer], []);
});
