// So many a second, and a tenth of them at once.

import t from 'tap';
import { StormLimit } from '../../../../src/devices/net/switch/storm-limit.js';

const taken = (limit: StormLimit, tries: number, nowS: number) =>
  Array.from({ length: tries }, () => limit.take(nowS)).filter(Boolean).length;

t.test('limits', (t) => {
  const limit = new StormLimit(100);
  t.equal(taken(limit, 1000, 5), 10, 'a burst');
  t.equal(taken(limit, 1000, 5), 0);
  t.equal(taken(limit, 1000, 5.0625), 6);
  let passed = 0;
  for (let ms = 0; ms < 1000; ms++) {
    passed += taken(limit, 10, 6 + ms / 1000);
  }
  t.ok(Math.abs(passed - 110) <= 1, `${passed} in a second of flood`);
  t.equal(taken(limit, 1, 3), 0, 'a clock that goes back earns nothing');
  t.equal(taken(new StormLimit(0), 1000, 0), 1000, 'none');
  t.equal(taken(new StormLimit(1), 1000, 9), 1);
  t.end();
});
