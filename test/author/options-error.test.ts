import t from 'tap';
import { OptionsError } from '../../src/author/options-error.js';

t.test('one line for all that is wrong', async (t) => {
  const issues = [
    { option: 'a', message: 'too big' },
    { option: 'b.c', message: 'no number' },
  ];
  const error = new OptionsError(issues);
  t.equal(error.message, 'a: too big; b.c: no number');
  t.match(error, { name: 'OptionsError', issues });
});
