import t from 'tap';
import { InbandCalls } from '../../../src/core/session/inband-calls.js';

/** Calls whose answers the test gives. */
function open() {
  const sent: { readonly queue: number; answer(error?: Error): void }[] = [];
  const lost: string[] = [];
  const calls = new InbandCalls(
    (queue) =>
      new Promise((resolve, reject) => {
        sent.push({ queue, answer: (error) => (error ? reject(error) : resolve(undefined)) });
      }),
    (queue, error) => lost.push(`${queue} ${(error as Error).message}`),
  );
  return { calls, sent, lost };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

t.test('calls that come while one is on its way become one', async (t) => {
  const { calls, sent } = open();
  for (let i = 0; i < 10; i++) {
    calls.call(1);
    calls.call(2);
  }
  t.same(
    sent.map(({ queue }) => queue),
    [1, 2],
  );
  sent[0]?.answer();
  await settled();
  t.equal(sent[2]?.queue, 1, 'one more for all of them');
  sent[2]?.answer();
  sent[1]?.answer(new Error('refused'));
  await settled();
  t.equal(sent.length, 4);
  sent[3]?.answer();
  await settled();
  t.equal(sent.length, 4, 'no more are due');
  calls.call(1);
  t.equal(sent.length, 5);
});

t.test('a call that is due goes out before the vring ends', async (t) => {
  const { calls, sent, lost } = open();
  calls.call(1);
  calls.flush(1);
  t.equal(sent.length, 1, 'none is due');
  calls.call(1);
  calls.flush(1);
  t.equal(sent.length, 2);
  sent[0]?.answer(new Error('one'));
  sent[1]?.answer(new Error('two'));
  await settled();
  t.equal(sent.length, 2);
  t.same(lost.sort(), ['1 one', '1 two']);
  calls.flush(3);
  t.equal(sent.length, 2);
});
