import t from 'tap';
import { Arena } from '../../../src/devices/net/arena.js';

t.test('areas do not overlap, and end', async (t) => {
  const arena = new Arena(256);
  t.same([arena.allocate(1), arena.allocate(64), arena.allocate(65)], [0, 64, 128]);
  t.throws(() => arena.allocate(1), RangeError);
  arena.words(128, 2)[1] = 0x01020304;
  t.same([...arena.bytes.subarray(132, 136)], [4, 3, 2, 1]);
  t.same([Arena.rounded(1), Arena.rounded(64), Arena.rounded(65)], [64, 64, 128]);
});
