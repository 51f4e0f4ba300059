import t from 'tap';
import * as operations from '../../../src/core/virtqueue/operations.js';
import { exchange } from '../../../src/native/index.js';

t.test('devices see these operations and no more', async (t) => {
  t.same(
    { ...operations },
    {
      OP_READ: exchange.OP_READ,
      OP_WRITE: exchange.OP_WRITE,
      OP_SEND: exchange.OP_SEND,
      OP_RECEIVE: exchange.OP_RECEIVE,
      FLAG_ADD_BYTES: exchange.FLAG_ADD_BYTES,
      FLAG_ARENA: exchange.FLAG_ARENA,
      FLAG_COMPLETE: exchange.FLAG_COMPLETE,
      FLAG_DURABLE: exchange.FLAG_DURABLE,
      FLAG_MESSAGE: exchange.FLAG_MESSAGE,
      FLAG_NOTIFY: exchange.FLAG_NOTIFY,
      FLAG_SOCKET: exchange.FLAG_SOCKET,
      FLAG_MERGE: exchange.FLAG_MERGE,
      FLAG_STEER: exchange.FLAG_STEER,
      FRAME_LIST_WORDS: exchange.FRAME_LIST_WORDS,
      FRAME_REPORT_BYTES: exchange.FRAME_REPORT_BYTES,
      FRAME_REPORT_CHAINS: exchange.FRAME_REPORT_CHAINS,
      FRAME_REPORT_DROPPED: exchange.FRAME_REPORT_DROPPED,
      FRAME_REPORT_FILTERED: exchange.FRAME_REPORT_FILTERED,
      FRAME_REPORT_FRAMES: exchange.FRAME_REPORT_FRAMES,
      FRAME_REPORT_WORDS: exchange.FRAME_REPORT_WORDS,
      NO_CHAIN: exchange.NO_CHAIN,
    },
  );
});
