import t from 'tap';
import { REFUSALS_MAX, Refusals } from '../../../src/devices/vsock/refusals.js';

t.test('VS-030 bounded, in order', async (t) => {
  const refusals = new Refusals();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < REFUSALS_MAX + 10; i++) {
      refusals.push(i, 1, 2, 3, 4, 5, 6);
    }
    t.equal(refusals.count, REFUSALS_MAX);
    t.same([...(refusals.shift() ?? [])], [0, 1, 2, 3, 4, 5, 6]);
    for (let i = 1; i < REFUSALS_MAX; i++) {
      if (refusals.shift()?.[0] !== i) {
        t.fail(`number ${i}`);
      }
    }
    t.equal(refusals.shift(), undefined);
  }
  refusals.push(1, 1, 1, 1, 1, 1, 1);
  refusals.clear();
  t.equal(refusals.count, 0);
});
