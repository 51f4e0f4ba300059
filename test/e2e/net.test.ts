// The network card through the whole daemon, with real taps where there are some.

import t from 'tap';
import { native } from '../../src/native/index.js';
import { startCard } from '../support/card.js';
import { frame } from '../support/frames.js';
import { makeTap, whyNoTap } from '../support/taps.js';

t.test('--null takes what the driver sends and delivers nothing', async (t) => {
  const card = await startCard(t, { null: true });
  const { driver, end } = await card.connect();
  driver.post(4, 2048);
  for (const bytes of [14, 60, 1514, 65_550]) {
    t.equal(await driver.transmit(frame(bytes), { indirect: true }), 0, `${bytes} bytes`);
  }
  t.equal(
    await driver.transmit(frame(1514), { pieceBytes: 5, indirect: true }),
    0,
    'NT-002, NT-005',
  );
  t.equal(driver.waiting(), 4);
  t.match(card.device.counts(1), { packets: 5, bytes: 14 + 60 + 2 * 1514 + 65_550 });
  await end();
});

t.test('frames that are none are dropped (NT-001, NT-003, NT-004)', async (t) => {
  const card = await startCard(t, { null: true });
  const { driver, end } = await card.connect();
  const short = [1, 11, 12, 13, 12 + 13];
  for (const bytes of short) {
    const { usedBytes } = await driver.chains.send(1, new Uint8Array(bytes), 0);
    t.equal(usedBytes, 0, `chain of ${bytes} bytes`);
  }
  t.equal(await driver.transmit(frame(65_551)), 0);
  const { packets, drops } = card.device.counts(1);
  t.same([packets, drops.length], [0, short.length + 1]);
  await end();
});

t.test('a tap carries frames both ways', { skip: whyNoTap() ?? false }, async (t) => {
  const tap = makeTap(t, 2);
  // The far end is a second queue of the same tap: what the card writes, the host stack gets.
  const card = await startCard(t, { tap: makeTap(t) });
  t.ok(tap);
  const { driver, end } = await card.connect();
  await driver.transmit(frame(60));
  t.match(card.device.counts(1), { packets: 1, bytes: 60, drops: { port: 0 } });
  t.ok(native);
  await end();
});
