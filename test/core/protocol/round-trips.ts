// The check every codec gets: hex to object and the same object back to the same hex.

import type { Test } from 'tap';
import type { PayloadCodec } from '../../../src/core/protocol/struct.js';
import { fromHex, toHex } from './hex.js';

export function roundTrips<T>(
  t: Test,
  codec: PayloadCodec<T>,
  rows: readonly (readonly [hex: string, value: T])[],
): void {
  for (const [hex, value] of rows) {
    t.same(codec.decode(fromHex(hex)), value, `decode ${hex.slice(0, 60)}`);
    t.equal(toHex(codec.encode(value)), hex.replaceAll(' ', ''), `encode ${hex.slice(0, 60)}`);
  }
}
