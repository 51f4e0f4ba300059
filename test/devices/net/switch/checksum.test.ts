// Checksums that others have computed before us.

import t from 'tap';
import { completeChecksum } from '../../../../src/devices/net/switch/checksum.js';

t.test('RFC 1071 §3', (t) => {
  const frame = Uint8Array.of(9, 9, 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0);
  completeChecksum(frame, 2, 8);
  t.same([...frame.subarray(10)], [0x22, 0x0d]);
  t.end();
});

t.test('an odd byte counts as the high one; nothing summed is never 0', (t) => {
  const odd = Uint8Array.of(0, 0, 0x12);
  completeChecksum(odd, 0, 0);
  t.same([...odd.subarray(0, 2)], [0xed, 0xff]);
  const ones = Uint8Array.of(0, 0, 0xff, 0xff);
  completeChecksum(ones, 0, 0);
  t.same([...ones.subarray(0, 2)], [0xff, 0xff]);
  t.end();
});
