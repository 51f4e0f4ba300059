import t from 'tap';
import { DROP_REASONS, NetCounters } from '../../../src/devices/net/counters.js';

t.test('each queue and each reason by itself, seen through the shared memory', async (t) => {
  const written = new NetCounters(3);
  const read = new NetCounters(written.buffer);
  written.moved(1, 2, 100);
  written.moved(1, -1, 0);
  DROP_REASONS.forEach((reason, i) => {
    written.dropped(2, reason, i + 1);
  });
  t.match(read.of(1), { packets: 1, bytes: 100, drops: { port: 0 } });
  const expected = DROP_REASONS.map((_, i) => i + 1);
  t.same(Object.values(read.of(2).drops), expected);
  t.match(read.of(0), { packets: 0, bytes: 0 });
});
