import t from 'tap';
import { chainRig } from '../../support/chain-backend.js';

t.test('completing tells the bytes written, once', async (t) => {
  const { chain, completed } = chainRig(Uint8Array.of(1, 2), 8);
  t.match(chain, { queue: 3, head: 7, readableBytes: 2, writableBytes: 8 });
  t.same([chain.completed, chain.kept], [false, false]);
  chain.writer.u32(1);
  chain.complete();
  t.same([chain.completed, completed], [true, [4]]);
  const code = 'COMPLETED';
  t.throws(() => chain.complete(), { code, message: /queue 3, head 7/ });
  t.throws(() => chain.writer.u8(1), { code });
  t.throws(() => chain.reader.u8(), { code });
  t.throws(() => chain.keep(), { code });
  t.same(completed, [4]);
});

t.test('keeping tells once, and ends with completing', async (t) => {
  const { chain, kept, completed } = chainRig(new Uint8Array(0), 8);
  chain.keep();
  chain.keep();
  t.same([kept.length, chain.kept, completed], [1, true, []]);
  chain.complete();
  t.same([chain.kept, completed], [false, [0]]);
});
