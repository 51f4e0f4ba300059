import t from 'tap';
import { caseRow, formatTable, judge, type Sample, targetCell } from '../../../bench/blk/report.js';

const sample = (iops: number, p50Us = 10, p99Us = 20, cpuUsPerRequest = 1): Sample => ({
  iops,
  p50Us,
  p99Us,
  cpuUsPerRequest,
});

t.test('judge: the bound itself is met', async (t) => {
  const table = [
    ['>=', 1.4, 1.4, true],
    ['>=', 1.4, 1.39, false],
    ['<=', 0.5, 0.5, true],
    ['<=', 0.5, 0.51, false],
    ['>=', 1.4, Number.NaN, false],
    ['<=', 0.5, Number.NaN, false],
  ] as const;
  for (const [relation, ratio, seen, met] of table) {
    t.equal(
      judge({ metric: 'iops', relation, ratio }, seen).met,
      met,
      `${seen} ${relation} ${ratio}`,
    );
  }
});

t.test('a row holds ratios of every metric and its verdicts', async (t) => {
  const targets = [
    { metric: 'iops', relation: '>=', ratio: 2.2 },
    { metric: 'cpuUsPerRequest', relation: '<=', ratio: 0.5 },
  ] as const;
  const a = [sample(300, 5, 20, 1.2), sample(600, 5, 40, 1.8)];
  const b = [sample(100, 10, 20, 2), sample(200, 10, 20, 2)];
  const row = caseRow({ name: 'x', targets }, a, b);
  t.equal(row.metrics.iops.ratio, 3);
  t.equal(row.metrics.p50Us.ratio, 0.5);
  t.same([row.metrics.p99Us.ratioMin, row.metrics.p99Us.ratioMax], [1, 2]);
  t.same(
    row.verdicts.map((verdict) => verdict.met),
    [true, false],
  );
  t.equal(targetCell(row.verdicts), 'iops >= 2.20 met, cpu <= 0.50 MISSED');
});

t.test('the table is aligned and scales IOPS to thousands', async (t) => {
  const short = caseRow({ name: 'a', targets: [] }, [sample(250_000)], [sample(125_000)]);
  const long = caseRow(
    { name: 'a-longer-name', targets: [] },
    [sample(1_500_000)],
    [sample(9_310)],
  );
  const lines = formatTable([short, long]).split('\n');
  t.equal(lines.length, 4);
  t.match(lines[2], /^a {14}250 \/ 125 +2\.00 \[2\.00\.\.2\.00\]/);
  t.match(lines[3], /1500 \/ 9\.31/);
  const column = lines[0]?.indexOf('p50 us') ?? -1;
  t.ok(column > 0);
  for (const line of lines.slice(2)) t.equal(line.slice(column, column + 9), '10.0 / 10');
});
