import t from 'tap';
import { packetCases, pairCases } from '../../../bench/net/cases.js';

t.test('every ring, with and without merged buffers, at both lengths', async (t) => {
  const cases = packetCases();
  const names = cases.map(({ name }) => name);
  t.equal(new Set(names).size, 2 * 2 * 2 * 2);
  t.ok(names.includes('switch/packed/single/1500'));
  for (const { way, frameBytes, targets } of cases) {
    t.equal(targets.length, way === 'switch' && frameBytes === 64 ? 1 : 0);
  }
});

t.test('two front-ends: as fast as it goes, and at light load', async (t) => {
  const cases = pairCases();
  t.same(
    cases.map(({ name }) => name),
    ['pair/flood/64', 'pair/flood/1500', 'pair/light/64'],
  );
  t.same(
    cases.map(({ targets }) => targets[0]),
    [
      { metric: 'packetsPerSecond', ratio: 0.5 },
      undefined,
      { metric: 'packetsPerCpuSecond', ratio: 3 },
    ],
  );
});
