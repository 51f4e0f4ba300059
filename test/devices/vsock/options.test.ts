import t from 'tap';
import { vsockOptionsSchema } from '../../../src/devices/vsock/options.js';

t.test('defaults', async (t) => {
  t.same(vsockOptionsSchema.parse({ guestCid: 3 }), { guestCid: 3, bufferBytes: 262_144 });
});

t.test('limits', async (t) => {
  for (const options of [
    { guestCid: 2 },
    { guestCid: 0xffff_ffff },
    { guestCid: 3.5 },
    { guestCid: 3, udsPath: '' },
    { guestCid: 3, udsPath: 'é'.repeat(49) },
    { guestCid: 3, bufferBytes: 65_535 },
    { guestCid: 3, bufferBytes: (1 << 24) + 1 },
    { guestCid: 3, other: 1 },
  ]) {
    t.notOk(vsockOptionsSchema.safeParse(options).success, JSON.stringify(options));
  }
  t.ok(vsockOptionsSchema.safeParse({ guestCid: 0xffff_fffe, udsPath: 'x'.repeat(96) }).success);
});
