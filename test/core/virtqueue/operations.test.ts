import t from 'tap';
import * as operations from '../../../src/core/virtqueue/operations.js';
import { exchange } from '../../../src/native/index.js';

t.test('devices see these operations and no more', async (t) => {
  t.same(
    { ...operations },
    {
      OP_READ: exchange.OP_READ,
      OP_WRITE: exchange.OP_WRITE,
      FLAG_DURABLE: exchange.FLAG_DURABLE,
    },
  );
});
