import t from 'tap';
import { parseOptions } from '../../../bench/vsock/options.js';

t.test('rounds and seconds', async (t) => {
  t.match(parseOptions([]), { rounds: 5, seconds: 1, keepAwake: false });
  t.match(parseOptions(['--quick']), { rounds: 3, seconds: 0.5 });
  t.match(parseOptions(['--quick', '--rounds', '8']), { rounds: 8, seconds: 0.5 });
  t.throws(() => parseOptions(['--rounds', '0']), RangeError);
  t.throws(() => parseOptions(['--round', '1']));
});

t.test('--only is a regular expression', async (t) => {
  const { only } = parseOptions(['--only', 'stream/1/.*host$']);
  t.ok(only.test('stream/1/guest-to-host'));
  t.notOk(only.test('stream/64/guest-to-host'));
});
