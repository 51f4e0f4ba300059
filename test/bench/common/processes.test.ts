import t from 'tap';
import { ended, pinned, start, stop } from '../../../bench/common/processes.js';

t.test('pinned', async (t) => {
  const line = { command: 'x', args: ['y'] };
  t.same(pinned(line, 1), { command: 'taskset', args: ['-c', '1', 'x', 'y'] });
  t.equal(pinned(line, undefined), line);
});

t.test('a child is gone once stopped', async (t) => {
  const child = start({ command: 'sleep', args: ['60'] });
  t.notOk(ended(child));
  await stop(child);
  t.ok(ended(child));
});
