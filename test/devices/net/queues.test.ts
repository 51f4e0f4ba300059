import t from 'tap';
import {
  controlQueue,
  isTransmit,
  pairOfQueue,
  queueCount,
  queuesPerThread,
  receiveQueue,
  transmitQueue,
} from '../../../src/devices/net/queues.js';

const CTRL_VQ = 1n << 17n;
const MQ = 1n << 22n;

t.test('which queue is what (VIRTIO 1.3 §5.1.2)', async (t) => {
  for (let pair = 0; pair < 127; pair++) {
    t.same([pairOfQueue(receiveQueue(pair)), pairOfQueue(transmitQueue(pair))], [pair, pair]);
    t.same([isTransmit(receiveQueue(pair)), isTransmit(transmitQueue(pair))], [false, true]);
  }
  t.equal(queueCount(127), 255, 'as many as vhost-user has indices for');
});

t.test('where the control queue is', async (t) => {
  t.equal(controlQueue(4, CTRL_VQ | MQ), 8);
  t.equal(controlQueue(4, CTRL_VQ), 2, 'without MQ it follows the first pair');
  t.equal(controlQueue(4, MQ), undefined, 'the virtual machine monitor keeps it');
});

t.test('a pair is never split between workers', async (t) => {
  t.same(queuesPerThread(4, 2), [0b1_0011_0011n, 0b1100_1100n]);
  t.same(queuesPerThread(1, 1), [0b111n]);
  t.same(queuesPerThread(3, 3), [0b100_0011n, 0b1100n, 0b11_0000n]);
});
