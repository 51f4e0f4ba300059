import t from 'tap';
import { decodeState, encodeState, STATE_BYTES } from '../../../src/devices/vsock/state.js';

t.test('there and back', async (t) => {
  const bytes = encodeState({ guestCid: 4_294_967_294 });
  t.equal(bytes.byteLength, STATE_BYTES);
  t.same(decodeState(bytes), { guestCid: 4_294_967_294 });
});

t.test('what is no state', async (t) => {
  t.throws(() => decodeState(new Uint8Array(19)), /19 bytes/);
  t.throws(() => decodeState(new Uint8Array(STATE_BYTES)), /not the state/);
  for (const at of [0, 4, 8]) {
    const bytes = encodeState({ guestCid: 3 });
    bytes[at] = 0xee;
    t.throws(() => decodeState(bytes), /not the state/);
  }
  for (const [at, value] of [
    [12, 2],
    [19, 1],
  ] as const) {
    const bytes = encodeState({ guestCid: 3 });
    bytes[at] = value;
    t.throws(() => decodeState(bytes), /no guest/);
  }
});
