import t from 'tap';
import { Batch, queueOfChain } from '../../../src/core/virtqueue/batch.js';
import { exchange } from '../../../src/native/index.js';

t.test('reads the records of the table', async (t) => {
  const tables = new exchange.Exchange();
  const batch = new Batch(tables);
  t.equal(batch.count, 0);
  const last = exchange.REQUESTS_MAX - 1;
  for (const index of [0, 1, last]) {
    const base = index * 1000;
    tables.requests.set(
      [
        base + 1,
        base + 2,
        base + 3,
        0,
        ...Array.from({ length: 12 }, (_, word) => base + 10 + word),
      ],
      index * exchange.RECORD_WORDS,
    );
  }
  for (const index of [0, 1, last]) {
    const base = index * 1000;
    t.equal(batch.chain(index), base + 1);
    t.equal(batch.readableBytes(index), base + 2);
    t.equal(batch.writableBytes(index), base + 3);
    t.same(
      Array.from({ length: 12 }, (_, word) => batch.headerWord(index, word)),
      Array.from({ length: 12 }, (_, word) => base + 10 + word),
    );
  }
});

t.test('words are unsigned and little-endian', async (t) => {
  const tables = new exchange.Exchange();
  const batch = new Batch(tables);
  const headerAt = exchange.REQUEST_HEADER * 4;
  tables.bytes.set([0x04, 0x03, 0x02, 0xf1], headerAt);
  t.equal(batch.headerWord(0, 0), 0xf1020304);
  tables.requests[exchange.REQUEST_READABLE_BYTES] = 0xffffffff;
  t.equal(batch.readableBytes(0), 0xffffffff);
});

t.test('queueOfChain', async (t) => {
  const rows: readonly (readonly [chain: number, queue: number])[] = [
    [0, 0],
    [0xffff, 0],
    [0x10000, 1],
    [0xff7fff, 255],
    [0x80001234, 0x8000],
  ];
  for (const [chain, queue] of rows) {
    t.equal(queueOfChain(chain), queue, chain.toString(16));
  }
});
