import t from 'tap';
import {
  isLegalLength,
  opaqueCodec,
  struct,
  structCodec,
  u8,
  u16,
  u32,
  u64,
} from '../../../src/core/protocol/struct.js';
import { fromHex, toHex } from './hex.js';

const codec = structCodec(struct(16, { a: u8(0), b: u16(2), c: u32(4), d: u64(8) }));

t.test('fields of every width, little-endian, at their offsets', (t) => {
  const hex = '01000302 07060504 0f0e0d0c0b0a0908';
  const value = { a: 1, b: 0x0203, c: 0x04050607, d: 0x08090a0b0c0d0e0fn };
  t.same(codec.decode(fromHex(hex)), value);
  t.equal(toHex(codec.encode(value)), hex.replaceAll(' ', ''));
  const top = { a: 0xff, b: 0xffff, c: 0xffff_ffff, d: 0xffff_ffff_ffff_ffffn };
  t.same(codec.decode(codec.encode(top)), top);
  t.end();
});

t.test('a struct is decoded at its place in a larger buffer', (t) => {
  const buffer = fromHex(`ff ff ff 01000302 07060504 0f0e0d0c0b0a0908 ff`);
  t.match(codec.decode(buffer.subarray(3, 19)), { a: 1, c: 0x04050607 });
  t.end();
});

t.test('bytes between fields are ignored', (t) => {
  t.match(codec.decode(fromHex('01ff0302 07060504 0f0e0d0c0b0a0908')), { a: 1, b: 0x0203 });
  t.end();
});

t.test('a value that does not fit its field is refused, not wrapped', (t) => {
  const fits = { a: 0, b: 0, c: 0, d: 0n };
  const rows = [
    { a: 256 },
    { a: -1 },
    { a: 1.5 },
    { a: Number.NaN },
    { b: 65536 },
    { c: 2 ** 32 },
    { d: 1n << 64n },
    { d: -1n },
  ];
  for (const row of rows) {
    t.throws(() => codec.encode({ ...fits, ...row }), RangeError, String(Object.values(row)));
  }
  t.end();
});

t.test('a struct has exactly one length', (t) => {
  for (const length of [0, 1, 15, 17, 32]) {
    t.throws(() => codec.decode(new Uint8Array(length)), { code: 'PAYLOAD_SIZE' }, `${length}`);
  }
  t.end();
});

t.test('length rules', (t) => {
  t.equal(isLegalLength({ oneOf: [8, 16] }, 16), true);
  t.equal(isLegalLength({ oneOf: [8, 16] }, 12), false);
  t.equal(isLegalLength({ minBytes: 12, maxBytes: 14 }, 12), true);
  t.equal(isLegalLength({ minBytes: 12, maxBytes: 14 }, 14), true);
  t.equal(isLegalLength({ minBytes: 12, maxBytes: 14 }, 11), false);
  t.equal(isLegalLength({ minBytes: 12, maxBytes: 14 }, 15), false);
  t.end();
});

t.test('opaque bytes are copied out of the receive buffer', (t) => {
  const received = fromHex('0102030405');
  const value = opaqueCodec(2).decode(received);
  received.fill(0);
  t.equal(toHex(value), '0102030405');
  t.throws(() => opaqueCodec(2).decode(new Uint8Array(1)), {
    code: 'PAYLOAD_SIZE',
    message: /1 bytes, expected 2 to 4096/,
  });
  t.end();
});
