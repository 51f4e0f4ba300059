// A host that floods and a driver that posts nothing.

import t from 'tap';
import { startCard } from '../../../support/card.js';
import { frame, GUEST_MAC, HOST_MAC } from '../../../support/frames.js';
import { Wire, whyNoTap } from '../../../support/taps.js';

const noTap = whyNoTap() ?? false;

t.test('a driver that posts nothing costs nothing (NT-015)', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap });
  const { driver, end } = await card.connect();
  for (let i = 0; i < 2000; i++) {
    wire.send(frame(200, i, GUEST_MAC, HOST_MAC));
  }
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { user, system } = process.cpuUsage(before);
  t.ok(user + system < 100_000, `${user + system} us of CPU in 300 ms`);
  driver.post(64, 2048);
  const first = await driver.receive();
  t.equal(first.frame.byteLength, 200, 'and what the tap kept comes then');
  await end();
});
