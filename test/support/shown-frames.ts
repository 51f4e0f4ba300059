// Shows frames as a worker does: native code writes them into a ring.

import type { Test } from 'tap';
import { check, exchange, native } from '../../src/native/index.js';

export type Show = (tag: number, frame: Uint8Array) => void;

export function showInto(t: Test, ring: SharedArrayBuffer): Show {
  const wakeFd = check('eventfd', native.eventfdCreate(0));
  const plane = new native.DataPlane(new exchange.Exchange().bytes, false, wakeFd, 0, 0, 0);
  check('capture', plane.setCapture(new Uint8Array(ring)));
  t.teardown(() => {
    plane.close();
    native.fdClose(wakeFd);
  });
  return (tag, frame) => plane.capture(tag, frame, 0, frame.byteLength, exchange.NO_CHAIN, 0, 0);
}
