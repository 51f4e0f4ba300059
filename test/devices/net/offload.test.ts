import t from 'tap';
import { GUEST_OFFLOADS, takesLargeFrames, tunOffload } from '../../../src/devices/net/offload.js';

t.test("a tap's offloads follow the driver's features", async (t) => {
  const rows: readonly (readonly [what: string, bits: readonly number[], tun: number])[] = [
    ['none', [], 0],
    ['checksums', [1], 0x01],
    ['TSO without checksums', [7, 8], 0],
    ['TSO', [1, 7, 8], 0x07],
    ['ECN without TSO', [1, 9], 0x01],
    ['ECN', [1, 7, 9], 0x0b],
    ['one half of USO', [1, 54], 0x01],
    ['USO', [1, 54, 55], 0x61],
  ];
  for (const [what, bits, tun] of rows) {
    const features = bits.reduce((all, bit) => all | (1n << BigInt(bit)), 0n);
    t.equal(tunOffload(features), tun, what);
  }
  t.equal(tunOffload(GUEST_OFFLOADS), 0x7f);
});

t.test('large frames', async (t) => {
  t.equal(takesLargeFrames(0x202n), false, 'checksums and ECN alone');
  t.equal(takesLargeFrames(1n << 7n), true);
});
