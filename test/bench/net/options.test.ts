import t from 'tap';
import { parseOptions } from '../../../bench/net/options.js';

t.test('rounds and seconds', async (t) => {
  const table: [string[], number, number][] = [
    [[], 5, 1],
    [['--quick'], 3, 0.5],
    [['--quick', '--rounds', '7'], 7, 0.5],
    [['--seconds', '2'], 5, 2],
  ];
  for (const [args, rounds, seconds] of table) {
    const options = parseOptions(args);
    t.same([options.rounds, options.seconds], [rounds, seconds], args.join(' '));
  }
});

t.test('refuses what it cannot use', async (t) => {
  for (const args of [['--rounds', '0'], ['--seconds', 'x'], ['--nonsense'], ['--only', '(']]) {
    t.throws(() => parseOptions(args), args.join(' '));
  }
});
