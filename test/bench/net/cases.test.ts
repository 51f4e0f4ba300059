import t from 'tap';
import { packetCases } from '../../../bench/net/cases.js';

t.test('every ring, with and without merged buffers, at both lengths', async (t) => {
  const cases = packetCases();
  const names = cases.map(({ name }) => name);
  t.equal(new Set(names).size, 2 * 2 * 2 * 2);
  t.ok(names.includes('switch/packed/single/1500'));
  for (const { way, frameBytes, targets } of cases) {
    t.equal(targets.length, way === 'switch' && frameBytes === 64 ? 1 : 0);
  }
});
