import t from 'tap';
import type { BenchCase } from '../../../bench/vsock/cases.js';
import { caseRow, figure, formatRow, judge } from '../../../bench/vsock/report.js';

const benchCase: BenchCase = {
  name: 'stream/1/there',
  work: 'bulk',
  streams: 1,
  flags: {},
  metrics: ['gbps', 'cpuSecondsPerGib'],
  peers: ['pair', 'socat'],
  targets: [
    { metric: 'gbps', relation: '>=', value: 20 },
    { metric: 'gbps', relation: '>=', value: 3, peer: 'socat' },
  ],
};

const row = caseRow(
  benchCase,
  new Map([
    [
      'vsock',
      [
        { gbps: 20, cpuSecondsPerGib: 0.3 },
        { gbps: 30, cpuSecondsPerGib: 0.2 },
        { gbps: 24, cpuSecondsPerGib: 0.25 },
      ],
    ],
    ['pair', [{ gbps: 40 }, { gbps: 40 }, { gbps: 40 }]],
    ['socat', [{ gbps: 10 }, { gbps: 10 }, { gbps: 10 }]],
  ]),
);

t.test('medians, and ratios to each peer that has the figure', async (t) => {
  const [gbps, cpu] = row.metrics;
  t.match(gbps, { metric: 'gbps', vsock: 24, vsockMin: 20, vsockMax: 30 });
  t.match(gbps?.peers, { pair: { b: 40, ratio: 0.6, ratioMin: 0.5 }, socat: { ratio: 2.4 } });
  t.same(cpu?.peers, {}, 'a plain pair has no daemon');
});

t.test('verdicts', async (t) => {
  t.match(row.verdicts, [
    { measured: 24, met: true },
    { measured: 2.4, met: false },
  ]);
  const less = judge({ metric: 'gbps', relation: '<=', value: 0.6, peer: 'pair' }, row.metrics);
  t.equal(less?.met, true);
  const absent = { metric: 'gbps', relation: '>=', value: 1, peer: 'socat-64k' } as const;
  t.equal(judge(absent, row.metrics), undefined, 'no verdict about a peer that was not there');
});

t.test('text', async (t) => {
  const [first, second] = formatRow(row).split('\n');
  t.match(first, /^stream\/1\/there +Gbit\/s +24\.0 \[20\.0\.\.30\.0\] +pair 40\.0, ratio 0\.60 /);
  t.match(first, />= 20\.0 met; >= 3 x socat MISSED$/);
  t.match(second, /CPU s\/GiB +0\.250 \[0\.200\.\.0\.300\]$/);
  t.same([0.0123, 12.345, 123.4, 12345].map(figure), ['0.0123', '12.3', '123', '12345']);
});
