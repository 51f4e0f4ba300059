import t from 'tap';
import { formatTable, row, targetCell } from '../../../bench/net/report.js';

t.test('ratios of rounds, and the promise', async (t) => {
  const met = row('x', 'Mpps', [2, 4, 9], [1, 2, 3], 2);
  t.equal(met.value.ratio, 2);
  t.equal(targetCell(met), '>= 2.00 met');
  t.equal(targetCell(row('x', 'Mpps', [1], [2], 1)), '>= 1.00 MISSED');
  t.equal(targetCell(row('x', 'Mpps', [1], [2])), '-');
  const lines = formatTable([met]).split('\n');
  t.match(lines[2], /^x\s+Mpps\s+4\.00\s+2\.00\s+2\.00 \[2\.00\.\.3\.00\]\s+>= 2\.00 met$/);
});
