import t from 'tap';
import { PAYLOAD_BYTES_MAX } from '../../../src/core/protocol/header.js';
import { PAYLOADS, type PayloadKind, payloadCodec } from '../../../src/core/protocol/payloads.js';
import { isLegalLength } from '../../../src/core/protocol/struct.js';
import { illegalLengths } from './hex.js';
import { roundTrips } from './round-trips.js';

const kinds = Object.keys(PAYLOADS) as PayloadKind[];

t.test('no payload and the u64', (t) => {
  roundTrips(t, payloadCodec('none'), [['', undefined]]);
  roundTrips(t, payloadCodec('u64'), [
    ['0000000000000000', 0n],
    ['0100000000000080', 0x8000_0000_0000_0001n],
  ]);
  t.throws(() => payloadCodec('u64').encode(1n << 64n), RangeError);
  t.end();
});

t.test('legal lengths of every payload', (t) => {
  const fixed: Partial<Record<PayloadKind, number[]>> = {
    none: [0],
    u64: [8],
    vringState: [8],
    vringAddr: [40],
    vringFd: [8],
    vringArea: [24],
    memTable: [8, 40, 72, 104, 136, 168, 200, 232, 264],
    singleRegion: [40],
    logBase: [8, 16],
    iotlb: [32],
    inflight: [20, 24],
    sharedObject: [16],
    deviceState: [8],
    shmemMap: [40],
    shmemConfig: [2056],
  };
  for (const kind of kinds) {
    const { lengths } = PAYLOADS[kind];
    const expected = fixed[kind];
    const minBytes = kind === 'config' ? 12 : 8;
    t.same(
      lengths,
      expected ? { oneOf: expected } : { minBytes, maxBytes: PAYLOAD_BYTES_MAX },
      kind,
    );
  }
  t.end();
});

t.test('CS-008 CS-009 CS-010 every other length is refused', (t) => {
  for (const kind of kinds) {
    const { lengths } = PAYLOADS[kind];
    const illegal = illegalLengths((n) => isLegalLength(lengths, n), PAYLOAD_BYTES_MAX + 1);
    t.ok(illegal.length > 0, `${kind} has illegal lengths`);
    for (const length of illegal) {
      t.throws(
        () => payloadCodec(kind).decode(new Uint8Array(length)),
        { code: 'PAYLOAD_SIZE', closesSession: false },
        `${kind} of ${length} bytes`,
      );
    }
  }
  t.end();
});
