import t from 'tap';
import {
  configCodec,
  cryptoSessionCodec,
  deviceStateCodec,
  sharedObjectCodec,
  shmemConfigCodec,
  shmemMapCodec,
} from '../../../src/core/protocol/device-payloads.js';
import { fromHex, toHex } from './hex.js';
import { roundTrips } from './round-trips.js';

t.test('config', (t) => {
  roundTrips(t, configCodec, [
    ['00000000 00000000 00000000', { offset: 0, flags: 0, bytes: new Uint8Array(0) }],
    ['20000000 01000000 01000000 ab', { offset: 32, flags: 1, bytes: fromHex('ab') }],
    [
      `00000000 f40f0000 00000000 ${'cd'.repeat(4084)}`,
      { offset: 0, flags: 0, bytes: new Uint8Array(4084).fill(0xcd) },
    ],
  ]);
  t.end();
});

t.test('CS-140 the size word must say how many bytes follow', (t) => {
  const rows: [hex: string, note: string][] = [
    ['00000000 01000000 00000000', 'one said, none there'],
    ['00000000 00000000 00000000 ab', 'none said, one there'],
    ['00000000 02000000 00000000 ab', 'fewer'],
    ['00000000 ffffffff 00000000 ab', '2^32-1'],
    ['00000000 f5ffffff 00000000 ab', 'wraps to the length in 32-bit arithmetic'],
  ];
  for (const [hex, note] of rows) {
    t.throws(() => configCodec.decode(fromHex(hex)), { code: 'PAYLOAD_SIZE' }, note);
  }
  t.end();
});

t.test('config bytes are copied out of the receive buffer', (t) => {
  const received = fromHex('00000000 01000000 00000000 ab');
  const { bytes } = configCodec.decode(received);
  received.fill(0);
  t.equal(toHex(bytes), 'ab');
  t.end();
});

t.test('shared object: UUID text is wire order', (t) => {
  roundTrips(t, sharedObjectCodec, [
    ['00112233445566778899aabbccddeeff', { uuid: '00112233-4455-6677-8899-aabbccddeeff' }],
  ]);
  const upper = sharedObjectCodec.encode({ uuid: '00112233-4455-6677-8899-AABBCCDDEEFF' });
  t.equal(toHex(upper), '00112233445566778899aabbccddeeff');
  for (const byte of ['00', 'ff']) {
    const bytes = fromHex(byte.repeat(16));
    t.throws(() => sharedObjectCodec.decode(bytes), { code: 'PAYLOAD_VALUE' }, byte);
  }
  for (const uuid of ['', '00112233445566778899aabbccddeeff', 'g0112233-4455-6677-8899-aabbccdd']) {
    t.throws(() => sharedObjectCodec.encode({ uuid }), RangeError, uuid);
  }
  t.end();
});

t.test('device state', (t) => {
  roundTrips(t, deviceStateCodec, [
    ['00000000 00000000', { direction: 0, phase: 0 }],
    ['01000000 00000000', { direction: 1, phase: 0 }],
  ]);
  for (const hex of ['0200000000000000', '0000000001000000', 'ffffffffffffffff']) {
    t.throws(() => deviceStateCodec.decode(fromHex(hex)), { code: 'PAYLOAD_VALUE' }, hex);
  }
  t.end();
});

t.test('shmem map', (t) => {
  const rest = '0010000000000000 0020000000000000 0030000000000000';
  const value = {
    shmemId: 7,
    fdOffsetBytes: 0x1000n,
    shmemOffsetBytes: 0x2000n,
    lengthBytes: 0x3000n,
  };
  roundTrips(t, shmemMapCodec, [
    [`0700000000000000 ${rest} 0000000000000000`, { ...value, flags: 0n }],
    [`0700000000000000 ${rest} 0100000000000000`, { ...value, flags: 1n }],
  ]);
  const bytes = fromHex(`0700000000000000 ${rest} 0200000000000000`);
  t.throws(() => shmemMapCodec.decode(bytes), { code: 'PAYLOAD_VALUE' });
  t.end();
});

t.test('shmem config', (t) => {
  const none = '0000000000000000';
  const page = '0010000000000000';
  roundTrips(t, shmemConfigCodec, [
    [none + none.repeat(256), { regions: [] }],
    [
      `0200000000000000${page}${none.repeat(254)}${page}`,
      {
        regions: [
          { shmemId: 0, sizeBytes: 0x1000n },
          { shmemId: 255, sizeBytes: 0x1000n },
        ],
      },
    ],
  ]);
  const lie = fromHex(`0200000000000000${page}${none.repeat(255)}`);
  t.throws(() => shmemConfigCodec.decode(lie), { code: 'PAYLOAD_VALUE' });
  const one = { shmemId: 1, sizeBytes: 1n };
  for (const regions of [[one, one], [{ shmemId: 1, sizeBytes: 0n }], [{ ...one, shmemId: 256 }]]) {
    t.throws(() => shmemConfigCodec.encode({ regions }), RangeError);
  }
  t.end();
});

t.test('crypto session stays as it came', (t) => {
  roundTrips(t, cryptoSessionCodec, [['ffffffffffffffff 0102', fromHex('ffffffffffffffff 0102')]]);
  t.end();
});
