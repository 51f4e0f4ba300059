// Rings are taken once; tags say whose frames are whose.

import t from 'tap';
import { CaptureRing } from '../../../../src/devices/net/capture/capture-ring.js';
import {
  captureTag,
  claimRing,
  interfaceOf,
  isInbound,
} from '../../../../src/devices/net/capture/shared-capture.js';

t.test('each ring once', (t) => {
  const rings = [CaptureRing.create(64), CaptureRing.create(64)];
  const shared = { rings, claims: new SharedArrayBuffer(4) };
  t.same(
    [1, 2, 3].map(() => claimRing(shared)?.buffer),
    [...rings, undefined],
  );
  t.end();
});

t.test('tags', (t) => {
  for (const index of [0, 1, 255]) {
    for (const inbound of [false, true]) {
      const tag = captureTag(index, inbound);
      t.not(tag, 0);
      t.same([interfaceOf(tag), isInbound(tag)], [index, inbound]);
    }
  }
  t.end();
});
