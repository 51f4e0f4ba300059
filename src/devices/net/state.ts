// What a network card takes along in a migration: what the driver has said on its control queue, as
// no driver says it twice. Little-endian: magic, version, length of the body, body. It comes from
// another host, so nothing in it is believed.

import { CONTROL_STATE_WORDS, type ControlState } from './control-state.js';

/** 'vtnt'. */
const MAGIC = 0x746e7476;
const VERSION = 1;
const HEAD_WORDS = 3;
export const STATE_BYTES = (HEAD_WORDS + CONTROL_STATE_WORDS) * 4;

/** Only while no ring runs. */
export function encodeState(state: ControlState): Uint8Array {
  const words = [MAGIC, VERSION, CONTROL_STATE_WORDS, ...state.save()];
  const view = new DataView(new ArrayBuffer(STATE_BYTES));
  for (const [i, word] of words.entries()) {
    view.setUint32(i * 4, word, true);
  }
  return new Uint8Array(view.buffer);
}

/** Throws for anything `encodeState` can't have made of a card with so many pairs; then nothing has
 *  changed. */
export function loadState(bytes: Uint8Array, to: ControlState, pairs: number): void {
  if (bytes.byteLength !== STATE_BYTES) {
    throw new Error(`net state of ${bytes.byteLength} bytes, expected ${STATE_BYTES}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, STATE_BYTES);
  const [magic, version, length, ...words] = Array.from({ length: STATE_BYTES / 4 }, (_, i) =>
    view.getUint32(i * 4, true),
  );
  if (magic !== MAGIC || version !== VERSION || length !== CONTROL_STATE_WORDS) {
    throw new Error('this is not the state of a net device, or of another version');
  }
  if (!to.restore(Uint32Array.from(words), pairs)) {
    throw new Error('net state that no driver can have brought about');
  }
}
