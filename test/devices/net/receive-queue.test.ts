// Receive chains: merged, too small, given back.

import t from 'tap';
import { startCard } from '../../support/card.js';
import { frame, GUEST_MAC, HOST_MAC } from '../../support/frames.js';
import { Wire, whyNoTap } from '../../support/taps.js';
import { until } from '../../support/until.js';

const noTap = whyNoTap() ?? false;
const NO_MERGE = { withoutFeatures: 1n << 15n };

t.test('a long frame goes over several chains (NT-014)', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap });
  const { driver, end } = await card.connect({ queueSize: 256 });
  driver.post(128, 700);
  for (let round = 0; round < 40; round++) {
    const bytes = 60 + ((round * 997) % 8900);
    const down = frame(bytes, round, GUEST_MAC, HOST_MAC);
    wire.send(down);
    const got = await driver.receive();
    t.equal(Buffer.compare(got.frame, down), 0, `${bytes} bytes`);
    t.equal(got.chains, Math.ceil((bytes + 12) / 700));
    driver.post(got.chains, 700);
  }
  await end();
});

t.test(
  'chains without room: the frame is dropped, the chains stay (NT-012, NT-013)',
  {
    skip: noTap,
  },
  async (t) => {
    const wire = new Wire(t);
    const card = await startCard(t, { tap: wire.tap });
    const rows = [
      { options: NO_MERGE, chains: 1 },
      { options: {}, chains: 2 },
    ];
    for (const { options, chains } of rows) {
      const before = card.device.counts(0).drops.room;
      const { driver, end } = await card.connect(options);
      driver.post(chains, 400);
      wire.send(frame(1514, 1, GUEST_MAC, HOST_MAC));
      await until(() => card.device.counts(0).drops.room === before + 1);
      t.equal(driver.waiting(), chains, 'nothing came back');
      const fits = frame(300, 2, GUEST_MAC, HOST_MAC);
      wire.send(fits);
      t.equal(Buffer.compare((await driver.receive()).frame, fits), 0, 'the next one uses them');
      await end();
    }
    const { driver, end } = await card.connect();
    for (const bytes of [1, 11]) {
      t.equal(
        (await driver.chains.send(0, new Uint8Array(0), bytes)).usedBytes,
        0,
        `${bytes} bytes`,
      );
    }
    t.equal((await driver.chains.send(0, new Uint8Array(64), 0)).usedBytes, 0, 'read-only');
    await end();
  },
);

t.test('a driver that has posted plenty is not asked for kicks', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap });
  const { frontend, driver, end } = await card.connect({ queueSize: 256 });
  const { ring } = frontend.queue(0);
  const receive = async (frames: number) => {
    for (let i = 0; i < frames; i++) {
      wire.send(frame(1514, i, GUEST_MAC, HOST_MAC));
      await driver.receive();
    }
  };
  driver.post(200, 2048);
  await receive(10);
  const asked = ring.availEvent;
  driver.post(10, 2048);
  await receive(50);
  t.equal(ring.availEvent, asked, 'room for two of the longest, and half of what was posted');
  await receive(100);
  await until(() => ring.availEvent !== asked);
  driver.post(50, 2048);
  await receive(50);
  await end();
});

t.test('kept receive chains go back untouched when rings stop', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap });
  const { frontend, driver, end } = await card.connect();
  driver.post(100, 2048);
  wire.send(frame(99, 1, GUEST_MAC, HOST_MAC));
  await driver.receive();
  await frontend.frontend.setMemTable([frontend.memory.region], [frontend.memory.fd]);
  wire.send(frame(98, 2, GUEST_MAC, HOST_MAC));
  t.equal((await driver.receive()).frame.byteLength, 98, 'in order, after a memory change');
  const base = await frontend.frontend.getVringBase(0);
  t.equal(base, frontend.queue(0).ring.publishedUsed, 'the base is what was used');
  t.equal(driver.waiting(), 98, 'none came back empty');
  await frontend.frontend.getVringBase(1);
  frontend.close();
  t.ok(end);
});
