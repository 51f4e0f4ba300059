// A real Linux guest under User-mode Linux formats, fills, reboots and verifies its disk.
// VHOST_TS_TEST_BACKEND=qemu-storage-daemon runs the same against that daemon.
import t from 'tap';

import { whyNoUmlGuest } from '../guest/kernels.js';
import { checkRow, GUEST_MATRIX, titleOf } from './guest-matrix.js';

// Each wait inside has its own, shorter limit; this one only stops a broken harness.
const TEST_LIMIT_MS = 600_000;
t.setTimeout(TEST_LIMIT_MS);

const skip = whyNoUmlGuest() ?? false;

for (const row of GUEST_MATRIX.filter(({ packed }) => !packed)) {
  t.test(titleOf(row), { skip, timeout: TEST_LIMIT_MS }, (t) => checkRow(t, 'uml', row));
}
