// What native code puts into the ring comes out of it.

import t from 'tap';
import { CaptureRing } from '../../../../src/devices/net/capture/capture-ring.js';
import { frame } from '../../../support/frames.js';
import { showInto } from '../../../support/shown-frames.js';

t.test('frames in order, many times round the ring', (t) => {
  const memory = CaptureRing.create(4096);
  const show = showInto(t, memory);
  const ring = new CaptureRing(memory);
  for (let i = 1; i <= 300; i++) {
    const sent = frame(60 + i, i);
    show(i, sent);
    const shown = ring.next();
    t.equal(shown?.tag, i);
    t.same(shown?.bytes, sent);
    const stampMs = ((shown?.stampHigh ?? 0) * 2 ** 32 + (shown?.stampLow ?? 0)) / 1e6;
    t.ok(Math.abs(stampMs - Date.now()) < 10_000, 'stamped with the time of day');
    t.equal(ring.next(), undefined);
    ring.release();
  }
  t.equal(ring.lost, 0);
  t.end();
});

t.test('what is not released is not overwritten', (t) => {
  const memory = CaptureRing.create(4096);
  const show = showInto(t, memory);
  const ring = new CaptureRing(memory);
  for (let i = 1; i <= 10; i++) {
    show(i, frame(1000, i));
  }
  t.equal(ring.lost, 6);
  const first = ring.next();
  show(11, frame(1000, 11));
  t.same(first?.bytes, frame(1000, 1));
  t.equal(ring.lost, 7);
  ring.release();
  show(12, frame(1000, 12));
  t.same(
    [1, 2, 3, 4].map(() => ring.next()?.tag),
    [2, 3, 4, 12],
  );
  t.end();
});

t.test('nothing comes after close, and nothing is lost', (t) => {
  const memory = CaptureRing.create(4096);
  const show = showInto(t, memory);
  const ring = new CaptureRing(memory);
  ring.close();
  show(1, frame(100));
  t.equal(ring.next(), undefined);
  t.equal(ring.lost, 0);
  t.end();
});
