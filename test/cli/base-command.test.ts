import t from 'tap';
import { oneLine } from '../../src/cli/base-command.js';

/** What oclif says and what is left of it. */
const MESSAGES: readonly (readonly [string, string])[] = [
  ['Nonexistent flag: --x\nSee more help with --help', 'Nonexistent flag: --x'],
  ['The following error occurred:\n  \u001b[2mFlag --a\u001b[22m', '?[2mFlag --a?[22m'],
  ['The following errors occurred:\n  one\n\n  two\nSee more help with --help', 'one; two'],
  [
    'Parsing --fd \n\tExpected an integer but received: x',
    '--fd: Expected an integer but received: x',
  ],
  ['Unexpected argument: a\rb\u0007', 'Unexpected argument: a?b?'],
  ['plain', 'plain'],
];

for (const [message, line] of MESSAGES) {
  t.equal(oneLine(message), line);
}
