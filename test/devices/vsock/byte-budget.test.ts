import t from 'tap';
import { ByteBudget } from '../../../src/devices/vsock/byte-budget.js';

t.test('as much as there is, and again what was given back', async (t) => {
  const budget = new ByteBudget(10);
  t.ok(budget.take(7));
  t.notOk(budget.take(4));
  t.equal(budget.held, 7, 'what was too much took nothing');
  t.ok(budget.take(3));
  budget.give(7);
  t.ok(budget.take(7));
  t.equal(budget.held, 10);
});
