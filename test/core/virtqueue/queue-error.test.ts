import t from 'tap';
import {
  codeOfFault,
  QUEUE_ERRORS,
  QueueError,
  type QueueErrorCode,
} from '../../../src/core/virtqueue/queue-error.js';
import { exchange } from '../../../src/native/index.js';

const codes = Object.keys(QUEUE_ERRORS) as QueueErrorCode[];

t.test('each code has its sentence and its consequence', async (t) => {
  for (const code of codes) {
    const { sentence, stopsQueue } = QUEUE_ERRORS[code];
    t.match(new QueueError(code), { name: 'QueueError', code, message: sentence, stopsQueue });
  }
  t.equal(
    new QueueError('COMPLETED', 'head 3').message,
    `${QUEUE_ERRORS.COMPLETED.sentence}: head 3`,
  );
});

t.test('each ring fault has a code that stops the queue, and each such code a fault', async (t) => {
  const found = exchange.RING_FAULTS.slice(1).map((_, i) => codeOfFault(i + 1));
  t.same([...new Set(found)].sort(), codes.filter((code) => QUEUE_ERRORS[code].stopsQueue).sort());
  t.equal(codeOfFault(exchange.RING_FAULT_MEMORY_LOST), 'GUEST_MEMORY');
  t.same([codeOfFault(0), codeOfFault(exchange.RING_FAULTS.length)], [undefined, undefined]);
});
