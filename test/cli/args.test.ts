import t from 'tap';
import { Args } from '../../src/cli/args.js';

t.test('these are the arguments of oclif', async (t) => {
  t.match(Args.string({ description: 'x' }), { type: 'option', description: 'x' });
});
