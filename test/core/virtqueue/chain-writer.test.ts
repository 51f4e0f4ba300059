import t from 'tap';
import { chainRig } from '../../support/chain-backend.js';

t.test('writes forward, integers little-endian', async (t) => {
  const { chain, writable } = chainRig(new Uint8Array(0), 24);
  const { writer } = chain;
  writer.u8(0x01);
  writer.u16(0x0302);
  writer.u32(0x07060504);
  writer.u64(0x0f0e0d0c0b0a0908n);
  writer.write(Uint8Array.of(16, 17));
  t.same([writer.written, writer.available], [17, 7]);
  t.equal(writer.writeSome(new Uint8Array(100).fill(9)), 7, 'as far as it goes');
  t.equal(writer.writeSome(new Uint8Array(100)), 0);
  const counted = Array.from({ length: 17 }, (_, i) => i + 1);
  t.same([...writable], [...counted, 9, 9, 9, 9, 9, 9, 9]);
  t.equal(chain.usedBytes, 24);
});

t.test('too short a part: nothing is written', async (t) => {
  const { chain, writable } = chainRig(new Uint8Array(0), 3);
  for (const write of [
    () => chain.writer.write(new Uint8Array(4).fill(1)),
    () => chain.writer.u32(1),
    () => chain.writer.u64(1n),
  ]) {
    t.throws(write, { code: 'SHORT_WRITABLE' }, String(write));
  }
  t.same([...writable], [0, 0, 0]);
  t.same([chain.usedBytes, chain.writer.written], [0, 0]);
});

t.test('split: every byte counts once, whoever wrote it', async (t) => {
  const { chain, writable } = chainRig(new Uint8Array(0), 8);
  const status = chain.writer.splitAt(chain.writer.available - 1);
  status.u8(0xee);
  chain.writer.u16(0x0201);
  t.same([...writable], [1, 2, 0, 0, 0, 0, 0, 0xee]);
  t.same([chain.writer.written, status.written, chain.usedBytes], [2, 1, 3]);
  t.throws(() => status.u8(1), { code: 'SHORT_WRITABLE' });
  t.throws(() => chain.writer.write(new Uint8Array(6)), { code: 'SHORT_WRITABLE' });
  for (const offset of [-1, 6, Number.NaN]) {
    t.throws(() => chain.writer.splitAt(offset), { code: 'SPLIT_RANGE' }, String(offset));
  }
});

t.test('memory that was taken away', async (t) => {
  const { chain, lose } = chainRig(new Uint8Array(0), 8);
  lose();
  t.throws(() => chain.writer.u8(1), { code: 'GUEST_MEMORY' });
  t.same([chain.usedBytes, chain.writer.written], [0, 0]);
});

t.test('objects', async (t) => {
  const layout = {
    bytes: 3,
    decode: () => 0,
    encode: (view: DataView, value: number) => {
      view.setUint16(0, value, true);
      view.setUint8(2, view.byteLength);
    },
  };
  const { chain, writable } = chainRig(new Uint8Array(0), 8);
  chain.writer.object(layout, 0x0201);
  chain.writer.object(layout, 0x0605);
  t.throws(() => chain.writer.object(layout, 0), { code: 'SHORT_WRITABLE' });
  t.same([...writable], [1, 2, 3, 5, 6, 3, 0, 0]);
  t.equal(chain.usedBytes, 6);
});
