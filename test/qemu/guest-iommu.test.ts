// A real Linux guest with its disk behind an Intel IOMMU: the ring and every buffer are I/O addresses,
// mapped for a request and taken back after it.
import t from 'tap';

import { backendKindFromEnvironment } from '../guest/backend.js';
import { whyNoQemuGuest } from '../guest/kernels.js';
import { checkRow } from './guest-matrix.js';

// Each wait inside has its own, shorter limit; this one only stops a broken harness.
const TEST_LIMIT_MS = 600_000;
t.setTimeout(TEST_LIMIT_MS);

const otherDaemon =
  backendKindFromEnvironment() === 'vhost-ts' ? undefined : 'that daemon offers no IOMMU';
const skip = whyNoQemuGuest() ?? otherDaemon ?? false;

t.test('behind an IOMMU, with a reboot', { skip, timeout: TEST_LIMIT_MS }, (t) =>
  checkRow(t, 'qemu', {
    numQueues: 2,
    blockSizeBytes: 512,
    reboots: 1,
    iommu: true,
    title: 'behind an IOMMU',
  }),
);
