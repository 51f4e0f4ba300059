import t from 'tap';
import { allCases } from '../../../bench/vsock/cases.js';

t.test('every target names a metric of its case and a peer it is measured beside', async (t) => {
  for (const { name, metrics, peers, targets } of allCases()) {
    for (const { metric, peer } of targets) {
      t.ok(metrics.includes(metric), `${name} ${metric}`);
      t.ok(peer === undefined || peers.includes(peer), `${name} ${peer}`);
    }
  }
});

t.test('what the project promises is among them', async (t) => {
  const names = allCases().map(({ name }) => name);
  t.equal(new Set(names).size, names.length, 'names are unique');
  const promises = allCases().flatMap(({ name, targets }) =>
    targets.map(({ metric, relation, value, peer }) =>
      [name, metric, relation, value, peer ?? ''].join(' ').trim(),
    ),
  );
  t.match(promises, [
    'stream/1/guest-to-host gbps >= 20',
    'stream/1/guest-to-host gbps >= 0.8 socat',
    'stream/1/host-to-guest gbps >= 20',
    'stream/1/host-to-guest gbps >= 0.8 socat',
    'round-trip/event p50Us <= 2 pair',
    'hold/10000 idleCpuUsPerSecond <= 200',
  ]);
});
