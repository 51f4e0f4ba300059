import t from 'tap';
import {
  checkReplyHeader,
  checkRequestHeader,
  decodeHeader,
  PAYLOAD_BYTES_MAX,
} from '../../../src/core/protocol/header.js';
import { fromHex } from './hex.js';

const headerOf = (hex: string) => decodeHeader(fromHex(hex));

t.test('header vectors', (t) => {
  const plain = { version: 1, isReply: false, needReply: false, reservedBits: 0 };
  const rows: [string, object][] = [
    ['01000000 01000000 00000000', { ...plain, request: 1, flags: 1, size: 0 }],
    ['08000000 09000000 08000000', { ...plain, request: 8, flags: 9, needReply: true, size: 8 }],
    ['01000000 05000000 08000000', { ...plain, request: 1, flags: 5, isReply: true, size: 8 }],
    [
      'ffffffff ffffffff ffffffff',
      {
        request: 0xffff_ffff,
        flags: 0xffff_ffff,
        version: 3,
        isReply: true,
        needReply: true,
        reservedBits: 0xffff_fff0,
        size: 0xffff_ffff,
      },
    ],
  ];
  for (const [hex, expected] of rows) {
    t.same(headerOf(hex), expected, hex);
  }
  t.end();
});

t.test('a header is decoded at its place in a larger buffer', (t) => {
  const buffer = fromHex('ffffffffffff 0b000000 01000000 08000000 ffff');
  t.match(decodeHeader(buffer.subarray(6, 18)), { request: 11, flags: 1, size: 8 });
  t.end();
});

t.test('anything but twelve bytes is a mistake of the caller', (t) => {
  for (const length of [0, 1, 11, 13]) {
    t.throws(() => decodeHeader(new Uint8Array(length)), RangeError, `${length}`);
  }
  t.end();
});

t.test('checkRequestHeader: what may begin a request', (t) => {
  const rows: [string, string, string | undefined][] = [
    ['plain', '01000000 01000000 00000000', undefined],
    ['NEED_REPLY', '01000000 09000000 00000000', undefined],
    ['unknown id is no framing fault', '00000080 01000000 00000000', undefined],
    ['largest payload', '18000000 01000000 00100000', undefined],
    ['CS-007 one byte more', '18000000 01000000 01100000', 'OVERSIZE'],
    ['CS-007 64 KiB', '18000000 01000000 00000100', 'OVERSIZE'],
    ['CS-007 2^31', '18000000 01000000 00000080', 'OVERSIZE'],
    ['CS-007 2^32-1', '18000000 01000000 ffffffff', 'OVERSIZE'],
    ['CS-011 version 0', '01000000 00000000 00000000', 'VERSION'],
    ['CS-011 version 2', '01000000 02000000 00000000', 'VERSION'],
    ['CS-011 version 3', '01000000 03000000 00000000', 'VERSION'],
    ['CS-012 REPLY flag', '01000000 05000000 00000000', 'HEADER_FLAGS'],
    ['CS-013 bit 4', '01000000 11000000 00000000', 'HEADER_FLAGS'],
    ['CS-013 bit 31', '01000000 01000080 00000000', 'HEADER_FLAGS'],
  ];
  for (const [name, hex, code] of rows) {
    const check = () => checkRequestHeader(headerOf(hex));
    if (code === undefined) {
      t.doesNotThrow(check, name);
    } else {
      t.throws(check, { code, closesSession: true }, name);
    }
  }
  t.equal(PAYLOAD_BYTES_MAX, 0x1000, 'the rows above speak of this limit');
  t.end();
});

t.test('checkReplyHeader: flags exactly 5 and the id that was asked', (t) => {
  const rows: [string, string, string | undefined][] = [
    ['plain', '0b000000 05000000 08000000', undefined],
    ['NEED_REPLY echoed', '0b000000 0d000000 08000000', 'HEADER_FLAGS'],
    ['no reply at all', '0b000000 01000000 08000000', 'HEADER_FLAGS'],
    ['other id', '0c000000 05000000 08000000', 'UNEXPECTED_REPLY'],
    ['version 2', '0b000000 06000000 08000000', 'VERSION'],
    ['too long', '0b000000 05000000 01100000', 'OVERSIZE'],
  ];
  for (const [name, hex, code] of rows) {
    const check = () => checkReplyHeader(headerOf(hex), 11);
    if (code === undefined) {
      t.doesNotThrow(check, name);
    } else {
      t.throws(check, { code, closesSession: true }, name);
    }
  }
  t.end();
});
