// The card that goes nowhere, through the whole daemon.

import t from 'tap';
import { startCard } from '../../../support/card.js';
import { frame } from '../../../support/frames.js';

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
