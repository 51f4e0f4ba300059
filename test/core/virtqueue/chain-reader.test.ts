import t from 'tap';
import { chainRig } from '../../support/chain-backend.js';

const BYTES = Uint8Array.from({ length: 32 }, (_, i) => i + 1);

t.test('reads forward, integers little-endian', async (t) => {
  const { reader } = chainRig(BYTES, 0).chain;
  t.equal(reader.u8(), 0x01);
  t.equal(reader.u16(), 0x0302);
  t.equal(reader.u32(), 0x07060504);
  t.equal(reader.u64(), 0x0f0e0d0c0b0a0908n);
  t.same([...reader.bytes(3)], [16, 17, 18]);
  reader.skip(4);
  t.same([reader.consumed, reader.available], [22, 10]);
  const to = new Uint8Array(16);
  t.equal(reader.readInto(to), 10, 'as far as it goes');
  t.same([...to.subarray(0, 11)], [23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0]);
  t.equal(reader.readInto(to), 0);
  t.same([reader.consumed, reader.available], [32, 0]);
});

t.test('too short a part reads nothing', async (t) => {
  const { reader } = chainRig(BYTES.subarray(0, 3), 0).chain;
  const code = 'SHORT_READABLE';
  for (const read of [
    () => reader.bytes(4),
    () => reader.bytes(2 ** 32),
    () => reader.bytes(-1),
    () => reader.bytes(Number.NaN),
    () => reader.skip(4),
    () => reader.skip(-1),
    () => reader.u32(),
    () => reader.u64(),
  ]) {
    t.throws(read, { code }, String(read));
  }
  t.equal(reader.consumed, 0);
  t.equal(reader.bytes(0).byteLength, 0);
  t.equal(reader.u16(), 0x0201);
  t.throws(() => reader.u16(), { code });
});

t.test('split: two cursors that share nothing', async (t) => {
  const { reader } = chainRig(BYTES, 0).chain;
  reader.skip(2);
  const rest = reader.splitAt(4);
  t.same([reader.available, rest.available], [4, 26]);
  t.equal(rest.u8(), 7);
  t.equal(reader.u32(), 0x06050403);
  t.same([reader.available, reader.consumed, rest.consumed], [0, 6, 1]);
  t.equal(rest.splitAt(25).available, 0, 'at the very end');
  for (const offset of [-1, 26, Number.NaN]) {
    t.throws(() => rest.splitAt(offset), { code: 'SPLIT_RANGE' }, String(offset));
  }
});

t.test('memory that was taken away', async (t) => {
  const { chain, lose } = chainRig(BYTES, 0);
  lose();
  t.throws(() => chain.reader.u8(), { code: 'GUEST_MEMORY' });
  t.equal(chain.reader.consumed, 0);
});

t.test('objects', async (t) => {
  const layout = {
    bytes: 6,
    decode: (view: DataView) => [view.byteLength, view.getUint16(0, true), view.getUint32(2)],
    encode: () => {},
  };
  const { reader } = chainRig(BYTES.subarray(0, 14), 0).chain;
  reader.skip(1);
  t.same(reader.object(layout), [6, 0x0302, 0x04050607]);
  t.same(reader.object(layout), [6, 0x0908, 0x0a0b0c0d]);
  t.throws(() => reader.object(layout), { code: 'SHORT_READABLE' });
  t.equal(reader.available, 1, 'nothing of it read');
});
