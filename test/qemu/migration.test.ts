// A live migration: a guest with disk I/O under way moves from one QEMU and daemon to another.
import t from 'tap';

import { whyNoQemuGuest } from '../guest/kernels.js';
import { runMigration } from '../guest/migration.js';

// Each wait inside has its own, shorter limit; this one only stops a broken harness.
const TEST_LIMIT_MS = 240_000;
t.setTimeout(TEST_LIMIT_MS);

t.test('LF-008: a guest migrates', { skip: whyNoQemuGuest() ?? false }, async (t) => {
  const { problems, info, sourceLines, destinationLines, output } = await runMigration();
  if (problems.length > 0) {
    t.comment(['source:', ...sourceLines].join('\n'));
    t.comment(['destination:', ...destinationLines].join('\n'));
    t.comment(['daemons:', ...output].join('\n'));
  }
  t.same(problems, [], `nothing went wrong (downtime ${info.downtime} ms)`);
});
