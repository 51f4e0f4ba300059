// A real Linux guest resets its disk, loses and gets it by hot-plug, and gains and gives up memory
// while the disk works.
import t from 'tap';

import { whyNoQemuGuest } from '../guest/kernels.js';
import { FILL_MIB, NUM_QUEUES, runLifecycle } from '../guest/lifecycle.js';

// Each wait inside has its own, shorter limit; this one only stops a broken harness.
const TEST_LIMIT_MS = 240_000;
t.setTimeout(TEST_LIMIT_MS);

t.test('one boot', { skip: whyNoQemuGuest() ?? false }, async (t) => {
  const { problems, facts, requests, lines, output } = await runLifecycle();
    t.comment(['guest:', ...lines].join('\n'));
    t.comment(['daemon:', ...output].join('\n'));
  for (const [k, v] of requests) t.comment(k, v.join(' '), FILL_MIB, NUM_QUEUES, facts);
  t.same(problems, [], 'nothing went wrong');
});
