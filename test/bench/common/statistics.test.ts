import t from 'tap';
import { compare, median, ratioOf } from '../../../bench/common/statistics.js';

t.test('median', async (t) => {
  const table: [number[], number][] = [
    [[3], 3],
    [[9, 1, 5], 5],
    [[10, 2, 9, 1], 5.5],
    [[100, 20, 3], 20],
  ];
  for (const [values, expected] of table) t.equal(median(values), expected, String(values));
  t.ok(Number.isNaN(median([])));
});

t.test('ratioOf', async (t) => {
  t.equal(ratioOf(6, 3), 2);
  t.equal(ratioOf(0, 0), 1, 'nothing on both sides is a tie');
  t.equal(ratioOf(1, 0), Number.POSITIVE_INFINITY);
});

t.test('compare pairs rounds, so a machine that changes speed cancels out', async (t) => {
  const result = compare([100, 200, 1000], [50, 100, 500]);
  t.same(result, { a: 200, b: 100, ratio: 2, ratioMin: 2, ratioMax: 2 });
  const apart = compare([100, 10, 10], [10, 100, 10]);
  t.equal(apart.ratio, 1, 'median of ratios');
  t.same([apart.ratioMin, apart.ratioMax], [0.1, 10]);
  t.throws(() => compare([1, 2], [1]), RangeError);
});
