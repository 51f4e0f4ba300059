import t from 'tap';
import { startCard } from '../support/card.js';
import { frame } from '../support/frames.js';

t.test('sends, and knows what it has posted', async (t) => {
  const card = await startCard(t, { null: true });
  const { driver, end } = await card.connect();
  t.equal(driver.waiting(), 0);
  driver.post(3, 1526);
  t.equal(driver.waiting(), 3);
  t.equal(await driver.transmit(frame(60)), 0);
  await t.rejects(driver.receive(1), /no receive chain is posted/);
  await end();
});
