import t from 'tap';
import { imagesOfRound } from '../../../bench/blk/comparison.js';
import type { Side } from '../../../bench/blk/side.js';

t.test('each side meets both images with both start orders', async (t) => {
  const kind = { program: 'qemu-storage-daemon', rawLayer: true } as const;
  const a: Side = { label: 'a', kind, imagePath: '/1', aio: undefined };
  const b: Side = { label: 'b', kind, imagePath: '/2', aio: undefined };
  const seen = new Set<string>();
  for (let round = 0; round < 4; round += 1) {
    const [left, right] = imagesOfRound([a, b], round);
    t.same([left.label, right.label], ['a', 'b'], 'only the images move');
    t.not(left.imagePath, right.imagePath);
    seen.add(`${round % 2} ${left.imagePath}`);
  }
  t.equal(seen.size, 4);
});
