import t from 'tap';
import { blkOptionsSchema, parseSize } from '../../../src/devices/blk/options.js';

t.test('sizes as people write them', async (t) => {
  const rows: readonly (readonly [text: string, bytes: number | undefined])[] = [
    ['0', 0],
    ['512', 512],
    ['64K', 65536],
    ['64k', 65536],
    ['10M', 10 * 2 ** 20],
    ['2G', 2 ** 31],
    ['1T', 2 ** 40],
    ['1GB', 2 ** 30],
    ['1GiB', 2 ** 30],
    ['8191T', 8191 * 2 ** 40],
    ['8192T', undefined], // beyond 2^53 - 1
    ['', undefined],
    ['K', undefined],
    ['-1', undefined],
    ['1.5G', undefined],
    ['1 G', undefined],
    ['1P', undefined],
    ['0x10', undefined],
    ['1e3', undefined],
  ];
  for (const [text, bytes] of rows) {
    t.equal(parseSize(text), bytes, text);
  }
});

t.test('defaults', async (t) => {
  t.same(blkOptionsSchema.parse({ image: 'x' }), {
    image: 'x',
    readOnly: false,
    numQueues: 1,
    queueSize: 1024,
    serial: 'vhost-ts',
    cache: 'writeback',
    imageLock: 'open',
    inOrder: false,
    iommu: false,
    postcopy: false,
  });
});

t.test('what is allowed', async (t) => {
  const rows: readonly (readonly [values: Record<string, unknown>, fine: boolean])[] = [
    [{}, true],
    [{ image: '' }, false],
    [{ image: undefined }, false],
    [{ numQueues: 1 }, true],
    [{ numQueues: 128 }, true],
    [{ numQueues: 129 }, false],
    [{ numQueues: 0 }, false],
    [{ numQueues: 1.5 }, false],
    [{ queueSize: 2 }, true],
    [{ queueSize: 32768 }, true],
    [{ queueSize: 65536 }, false],
    [{ queueSize: 1 }, false],
    [{ queueSize: 100 }, false],
    [{ serial: 'x'.repeat(20) }, true],
    [{ serial: 'x'.repeat(21) }, false],
    [{ serial: 'ä'.repeat(11) }, false], // 22 bytes
    [{ blockSize: 4096 }, true],
    [{ blockSize: 8192 }, false],
    [{ create: 512 }, true],
    [{ create: 511 }, false],
    [{ cache: 'none' }, true],
    [{ cache: 'unsafe' }, false],
    [{ unknown: 1 }, false],
  ];
  for (const [values, fine] of rows) {
    const { success } = blkOptionsSchema.safeParse({ image: 'x', ...values });
    t.equal(success, fine, JSON.stringify(values));
  }
});
