import t from 'tap';
import { AssertionFailure, assert } from '../../src/core/assert.js';

t.test('a condition that holds is nothing, another one throws', async (t) => {
  t.doesNotThrow(() => assert(true, 'fine'));
  t.throws(() => assert(false, 'the table is empty'), {
    name: 'AssertionFailure',
    message: 'the table is empty',
  });
  t.ok(new AssertionFailure('x') instanceof Error);
});

t.test('the compiler knows what was asserted', async (t) => {
  const value: string | undefined = ['x'].at(0);
  assert(value !== undefined, 'one element');
  t.equal(value.length, 1);
});
