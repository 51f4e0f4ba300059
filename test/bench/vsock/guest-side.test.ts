import t from 'tap';
import { sampleOf } from '../../../bench/vsock/guest-side.js';

t.test('what a guest says in the words of the other cases', async (t) => {
  t.same(sampleOf({ seconds: 2, bytes: 2 ** 30 }, 500), {
    gbps: (2 ** 30 * 8) / 1e9 / 2,
    cpuSecondsPerGib: 0.5,
  });
  t.same(sampleOf({ seconds: 2, p50Us: 80, p99Us: 120 }, 500), { p50Us: 80, p99Us: 120 });
});
