import t from 'tap';
import {
  inflightCodec,
  iotlbCodec,
  logBaseCodec,
  logCodec,
  memTableCodec,
  singleRegionCodec,
} from '../../../src/core/protocol/memory-payloads.js';
import { fromHex, toHex } from './hex.js';
import { roundTrips } from './round-trips.js';

const REGION_HEX = '0000004000000000 0000001000000000 000000efbe7f0000 0000000100000000';
const REGION = {
  guestAddress: 0x4000_0000n,
  sizeBytes: 0x1000_0000n,
  userAddress: 0x7fbe_ef00_0000n,
  mmapOffsetBytes: 0x100_0000n,
};

t.test('memory table', (t) => {
  const eight = Array.from({ length: 8 }, () => REGION);
  roundTrips(t, memTableCodec, [
    ['00000000 00000000', { regions: [] }],
    [`01000000 00000000 ${REGION_HEX}`, { regions: [REGION] }],
    [`08000000 00000000 ${REGION_HEX.concat(' ').repeat(8)}`, { regions: eight }],
  ]);
  t.throws(() => memTableCodec.encode({ regions: [...eight, REGION] }), RangeError);
  t.end();
});

t.test('memory table: padding may hold anything', (t) => {
  const bytes = fromHex(`01000000 ffffffff ${REGION_HEX}`);
  t.same(memTableCodec.decode(bytes), { regions: [REGION] });
  t.end();
});

t.test('virtio_uml sends room for two regions and uses one', (t) => {
  const bytes = fromHex(`01000000 00000000 ${REGION_HEX} ${'00'.repeat(32)}`);
  t.same(memTableCodec.decode(bytes), { regions: [REGION] });
  t.end();
});

t.test('CS-070 region counts that do not fit', (t) => {
  const rows: [count: string, regions: number, code: string][] = [
    ['01000000', 0, 'PAYLOAD_SIZE'],
    ['02000000', 1, 'PAYLOAD_SIZE'],
    ['08000000', 7, 'PAYLOAD_SIZE'],
    ['09000000', 8, 'PAYLOAD_VALUE'],
    ['09000000', 9, 'PAYLOAD_SIZE'],
    ['ffffffff', 1, 'PAYLOAD_VALUE'],
    // 8 + 32n wraps to 40 in 32-bit arithmetic for this n.
    ['01000008', 1, 'PAYLOAD_VALUE'],
  ];
  for (const [count, regions, code] of rows) {
    const bytes = fromHex(`${count} 00000000 ${REGION_HEX.concat(' ').repeat(regions)}`);
    t.throws(() => memTableCodec.decode(bytes), { code, closesSession: false }, count);
  }
  t.end();
});

t.test('single region', (t) => {
  roundTrips(t, singleRegionCodec, [[`0000000000000000 ${REGION_HEX}`, REGION]]);
  t.same(singleRegionCodec.decode(fromHex(`ffffffffffffffff ${REGION_HEX}`)), REGION, 'padding');
  t.end();
});

t.test('log', (t) => {
  const area = { mmapSizeBytes: 0x1000n, mmapOffsetBytes: 0x20n };
  const hex = '0010000000000000 2000000000000000';
  roundTrips(t, logCodec, [[hex, area]]);
  roundTrips(t, logBaseCodec, [
    [hex, { form: 'area', ...area }],
    ['0010000000000000', { form: 'address', address: 0x1000n }],
  ]);
  t.throws(() => logBaseCodec.encode({ form: 'address', address: -1n }), RangeError);
  t.end();
});

t.test('IOTLB message', (t) => {
  const head = '0010000000000000 0020000000000000 0030000000000000';
  const value = { iova: 0x1000n, sizeBytes: 0x2000n, userAddress: 0x3000n, perm: 3, type: 2 };
  roundTrips(t, iotlbCodec, [[`${head} 0302 000000000000`, value]]);
  t.same(iotlbCodec.decode(fromHex(`${head} 0302 ffffffffffff`)), value, 'padding');
  for (const tail of ['0300', '0305', '03ff', '0402', 'ff02']) {
    const bytes = fromHex(`${head} ${tail} 000000000000`);
    t.throws(() => iotlbCodec.decode(bytes), { code: 'PAYLOAD_VALUE' }, `CS-087 ${tail}`);
  }
  t.end();
});

t.test('inflight, packed and padded', (t) => {
  const hex = '0010000000000000 0020000000000000 0400 0001';
  const value = {
    mmapSizeBytes: 0x1000n,
    mmapOffsetBytes: 0x2000n,
    queueCount: 4,
    queueSize: 256,
  };
  roundTrips(t, inflightCodec, [
    [hex, { ...value, encodedBytes: 20 }],
    [`${hex} 00000000`, { ...value, encodedBytes: 24 }],
  ]);
  t.match(inflightCodec.decode(fromHex(`${hex} ffffffff`)), value, 'padding');
  t.equal(toHex(inflightCodec.encode({ ...value, encodedBytes: 24 })).slice(-8), '00000000');
  t.end();
});
