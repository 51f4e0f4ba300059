import t from 'tap';
import { QueueConfig } from '../../../src/core/virtqueue/queue-config.js';

t.test('sizes', async (t) => {
  const rows: readonly (readonly [packed: boolean, maxSize: number, good: boolean])[] = [
    [false, 1, true],
    [false, 256, true],
    [false, 32768, true],
    [false, 0, false],
    [false, 3, false],
    [false, 65536, false],
    [false, 1.5, false],
    [false, Number.NaN, false],
    [true, 1, true],
    [true, 61, true],
    [true, 32768, true],
    [true, 0, false],
    [true, 32769, false],
  ];
  for (const [packed, size, good] of rows) {
    const what = `${packed ? 'packed' : 'split'} ${size}`;
    const larger = new QueueConfig(32768, packed);
    if (good) {
      t.match(new QueueConfig(size, packed), { maxSize: size, size }, what);
      larger.size = size;
      t.equal(larger.size, size, what);
    } else {
      t.throws(() => new QueueConfig(size, packed), { code: 'INVALID_MAX_SIZE' }, what);
      t.throws(() => (larger.size = size), { code: 'INVALID_SIZE' }, what);
      t.equal(larger.size, 32768, `${what} changes nothing`);
    }
  }
  const small = new QueueConfig(8, false);
  t.throws(() => (small.size = 16), { code: 'INVALID_SIZE' }, 'above the maximum');
});

t.test('alignments', async (t) => {
  for (const packed of [false, true]) {
    const config = new QueueConfig(8, packed);
    const rows = [
      ['descTable', 16n, 'INVALID_DESC_TABLE_ALIGN'],
      ['availRing', packed ? 4n : 2n, 'INVALID_AVAIL_RING_ALIGN'],
      ['usedRing', 4n, 'INVALID_USED_RING_ALIGN'],
    ] as const;
    for (const [field, alignment, code] of rows) {
      config[field] = 0x1000n + alignment;
      t.equal(config[field], 0x1000n + alignment);
      const half = 0x2000n + alignment / 2n;
      t.throws(() => (config[field] = half), { code }, `${field} at half of its alignment`);
      t.throws(() => (config[field] = 0x2001n), { code }, `${field} odd`);
      t.equal(config[field], 0x1000n + alignment, 'unchanged');
    }
  }
});

t.test('positions', async (t) => {
  const split = new QueueConfig(8, false);
  const packed = new QueueConfig(8, true);
  t.match(split, { nextAvail: 0, nextUsed: 0 });
  t.match(packed, { nextAvail: 0x8000, nextUsed: 0x8000 }, 'wrap counters start at 1');
  split.nextAvail = 0xffff;
  split.nextUsed = 7;
  t.match(split, { nextAvail: 0xffff, nextUsed: 7 });
  for (const bad of [-1, 0x10000, 1.5, Number.NaN]) {
    t.throws(() => (split.nextAvail = bad), { code: 'INVALID_POSITION' }, `${bad}`);
    t.throws(() => (split.nextUsed = bad), { code: 'INVALID_POSITION' }, `${bad}`);
  }
});
