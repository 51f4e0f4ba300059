import t from 'tap';
import { BUFFERS_MAX, ReceiveBuffers } from '../../../src/devices/vsock/receive-buffers.js';

t.test('first come, first used, round and round', async (t) => {
  const buffers = new ReceiveBuffers();
  let next = 0;
  let expected = 0;
  for (let i = 0; i < BUFFERS_MAX; i++) {
    buffers.push(next, 2 * next++);
  }
  let wrong = 0;
  for (let round = 0; round < 1000; round++) {
    for (let i = 0; i < 7; i++) {
      const right = buffers.chain(i) === expected + i && buffers.bytes(i) === 2 * (expected + i);
      wrong += right && buffers.chains[buffers.head + i] === expected + i ? 0 : 1;
    }
    buffers.shift(7);
    expected += 7;
    for (let i = 0; i < 7; i++) {
      buffers.push(next, 2 * next++);
    }
  }
  t.equal(wrong, 0);
  t.equal(buffers.count, BUFFERS_MAX);
  buffers.shift(BUFFERS_MAX);
  t.equal(buffers.count, 0);
});
