import t from 'tap';
import {
  vringAddrCodec,
  vringAreaCodec,
  vringFdCodec,
  vringStateCodec,
} from '../../../src/core/protocol/vring-payloads.js';
import { fromHex } from './hex.js';
import { roundTrips } from './round-trips.js';

t.test('vring state', (t) => {
  roundTrips(t, vringStateCodec, [
    ['00000000 00000000', { index: 0, num: 0 }],
    ['01000000 00010000', { index: 1, num: 256 }],
    ['ffffffff ffffffff', { index: 0xffff_ffff, num: 0xffff_ffff }],
  ]);
  t.end();
});

t.test('vring addr', (t) => {
  const head = '02000000 01000000 0000000000100000 0000000000200000 0000000000300000';
  roundTrips(t, vringAddrCodec, [
    [
      `${head} 8877665544332211`,
      {
        index: 2,
        flags: 1,
        descriptorAddress: 0x1000_0000_0000n,
        usedAddress: 0x2000_0000_0000n,
        availableAddress: 0x3000_0000_0000n,
        logAddress: 0x1122_3344_5566_7788n,
      },
    ],
  ]);
  for (const flags of ['02000000', '00000080', 'ffffffff']) {
    const bytes = fromHex(`00000000 ${flags} ${'00'.repeat(32)}`);
    t.throws(() => vringAddrCodec.decode(bytes), { code: 'PAYLOAD_VALUE' }, `CS-109 ${flags}`);
  }
  t.end();
});

t.test('vring fd word', (t) => {
  roundTrips(t, vringFdCodec, [
    ['0000000000000000', { index: 0, hasFd: true }],
    ['ff00000000000000', { index: 255, hasFd: true }],
    ['0001000000000000', { index: 0, hasFd: false }],
    ['0301000000000000', { index: 3, hasFd: false }],
  ]);
  for (let bit = 9n; bit < 64n; bit++) {
    const bytes = new Uint8Array(new BigUint64Array([(1n << bit) | 1n]).buffer);
    t.throws(() => vringFdCodec.decode(bytes), { code: 'PAYLOAD_VALUE' }, `CS-114 bit ${bit}`);
  }
  for (const index of [256, -1, 0.5]) {
    t.throws(() => vringFdCodec.encode({ index, hasFd: true }), RangeError, `${index}`);
  }
  t.end();
});

t.test('vring area', (t) => {
  const range = { sizeBytes: 0x1000n, offsetBytes: 0x2000n };
  roundTrips(t, vringAreaCodec, [
    ['0100000000000000 0010000000000000 0020000000000000', { index: 1, hasFd: true, ...range }],
    ['0101000000000000 0010000000000000 0020000000000000', { index: 1, hasFd: false, ...range }],
  ]);
  const bytes = fromHex('0002000000000000 0010000000000000 0020000000000000');
  t.throws(() => vringAreaCodec.decode(bytes), { code: 'PAYLOAD_VALUE' });
  t.end();
});
