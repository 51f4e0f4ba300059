import t from 'tap';
import { EXIT_CODES, UserError } from '../../src/cli/exit-codes.js';

// Service files name these numbers (RestartPreventExitStatus): they are for ever.
t.strictSame(EXIT_CODES, {
  ok: 0,
  failure: 1,
  usage: 2,
  input: 66,
  socket: 73,
  permission: 77,
  config: 78,
});

t.match(new UserError('input', 'no image'), { reason: 'input', message: 'no image' });
