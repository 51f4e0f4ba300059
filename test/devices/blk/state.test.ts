import t from 'tap';
import { decodeState, encodeState, STATE_BYTES } from '../../../src/devices/blk/state.js';

t.test('both ways, and the bytes as they are sent', async (t) => {
  for (const writeback of [false, true]) {
    const bytes = encodeState({ writeback });
    t.equal(bytes.byteLength, STATE_BYTES);
    t.equal(
      Buffer.from(bytes).toString('hex'),
      `7674626b0100000004000000${writeback ? '01' : '00'}000000`,
    );
    t.same(decodeState(bytes), { writeback });
    t.same(decodeState(Buffer.from(bytes)), { writeback });
  }
});

t.test('hostile state', async (t) => {
  const good = encodeState({ writeback: true });
  const changed = (at: number, value: number) => {
    const bytes = good.slice();
    bytes[at] = value;
    return bytes;
  };
  const rows: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['nothing', new Uint8Array(0), /0 bytes/],
    ['cut short', good.subarray(0, 15), /15 bytes/],
    ['one more', Uint8Array.from([...good, 0]), /17 bytes/],
    ['another magic', changed(0, 0), /not the state of a disk/],
    ['a later version', changed(4, 2), /version 2/],
    ['version 0', changed(4, 0), /version 0/],
    ['another body', changed(8, 5), /values it can not have/],
    ['a huge body', changed(11, 0xff), /values it can not have/],
    ['writeback 2', changed(12, 2), /values it can not have/],
    ['something reserved', changed(15, 1), /values it can not have/],
  ];
  for (const [what, bytes, message] of rows) {
    t.throws(() => decodeState(bytes), { message }, what);
  }
});
