// The network card through the whole daemon, with real taps where there are some.

import t from 'tap';
import { startCard } from '../support/card.js';
import { frame, GUEST_MAC } from '../support/frames.js';
import { ip, quiet, tapName, Wire, whyNoTap } from '../support/taps.js';
import { until } from '../support/until.js';

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
  t.same([packets, drops.length], [0, short.length + 1], 'counted as such');
  await end();
});

const noTap = whyNoTap() ?? false;
const HOST_MAC = '52:54:00:bb:00:01';
const NO_MERGE = { withoutFeatures: 1n << 15n };

t.test('a tap carries frames both ways', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap });
  for (const options of [{}, NO_MERGE]) {
    const { driver, end } = await card.connect(options);
    driver.post(32, 9100);
    for (const [i, bytes] of [60, 1514, 9014].entries()) {
      const up = frame(bytes, i);
      await driver.transmit(up);
      t.strictSame(
        Buffer.from((await wire.receive())?.frame ?? []),
        Buffer.from(up),
        `up ${bytes}`,
      );
      const down = frame(bytes, i + 10, GUEST_MAC, HOST_MAC);
      wire.send(down);
      const got = await driver.receive();
      t.equal(Buffer.compare(got.frame, down), 0, `down ${bytes}`);
      t.equal(got.chains, 1, 'num_buffers');
    }
    await end();
  }
  t.match(card.device.counts(1), { packets: 6, drops: { port: 0, header: 0 } });
});

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

t.test('offloads go through a tap untouched', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  wire.setOffload(0x07);
  const card = await startCard(t, { tap: wire.tap });
  const { driver, end } = await card.connect();
  const large = tcpFrame(30_000);
  // NEEDS_CSUM, TCPV4, hdr_len 54, gso_size 1448, checksum from 34 at 16.
  const header = Uint8Array.from([1, 1, 54, 0, 1448 & 255, 1448 >> 8, 34, 0, 16, 0, 7, 7]);
  await driver.transmit(large, { header });
  const up = await wire.receive();
  t.equal(Buffer.compare(Buffer.from(up?.frame ?? []), large), 0, 'one frame, not 21');
  t.same([...(up?.header.subarray(0, 2) ?? [])], [1, 1]);
  driver.post(100, 1526);
  wire.send(large, header.fill(0, 10));
  const down = await driver.receive();
  t.equal(Buffer.compare(down.frame, large), 0);
  t.same([...down.header.subarray(0, 10)], [...header.subarray(0, 10)]);
  t.equal(down.chains, Math.ceil(30_012 / 1526));
  await end();
});

t.test('a driver without offloads gets plain frames', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap });
  const guestOffloads = 0x782n | (3n << 54n);
  const { driver, end } = await card.connect({ withoutFeatures: guestOffloads });
  driver.post(100, 1526);
  const header = Uint8Array.from([1, 1, 54, 0, 1448 & 255, 1448 >> 8, 34, 0, 16, 0, 0, 0]);
  wire.send(tcpFrame(4398), header);
  for (let segment = 0; segment < 3; segment++) {
    const got = await driver.receive();
    t.same([got.frame.byteLength, got.header[1]], [1502, 0], 'the host has segmented it');
  }
  await end();
});

t.test('headers that lie go nowhere (NT-006, NT-007, NT-008, NT-009)', async (t) => {
  const card = await startCard(t, { null: true });
  const rows: readonly (readonly [what: string, header: number[], fine: boolean])[] = [
    ['plain', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true],
    ['garbage in flags, hdr_len and num_buffers', [0xfe, 0, 9, 9, 0, 0, 0, 0, 0, 0, 9, 9], true],
    ['unknown gso_type', [1, 2, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0], false],
    ['gso_type 127', [1, 0x7f, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0], false],
    ['gso_size 0', [1, 1, 54, 0, 0, 0, 34, 0, 16, 0, 0, 0], false],
    ['gso_size 1', [1, 1, 54, 0, 1, 0, 34, 0, 16, 0, 0, 0], false],
    ['gso without checksum', [0, 1, 54, 0, 0xa8, 5, 0, 0, 0, 0, 0, 0], false],
    ['hdr_len beyond the frame', [1, 1, 0xff, 0xff, 0xa8, 5, 34, 0, 16, 0, 0, 0], false],
    ['checksum beyond the frame', [1, 0, 0, 0, 0, 0, 0xff, 0x7f, 16, 0, 0, 0], false],
    ['checksum at the last byte', [1, 0, 0, 0, 0, 0, 0xe9, 5, 0, 0, 0, 0], false],
    ['checksum at the last two', [1, 0, 0, 0, 0, 0, 0xe8, 5, 0, 0, 0, 0], true],
    ['offsets whose sum wraps 16 bits', [1, 0, 0, 0, 0, 0, 0xff, 0xff, 2, 0, 0, 0], false],
    ['ECN of UDP', [1, 0x83, 54, 0, 0xa8, 5, 34, 0, 6, 0, 0, 0], false],
    ['TSO with ECN', [1, 0x81, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0], true],
  ];
  const { driver, end } = await card.connect();
  for (const [what, header, fine] of rows) {
    const before = card.device.counts(1);
    await driver.transmit(frame(1514), { header: Uint8Array.from(header) });
    const after = card.device.counts(1);
    t.equal(after.packets - before.packets, fine ? 1 : 0, what);
    t.equal(after.drops.header - before.drops.header, fine ? 0 : 1, what);
  }
  await end();
  const without = await card.connect({ withoutFeatures: (1n << 0n) | (1n << 11n) });
  for (const header of [
    [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0],
    [1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0],
  ]) {
    const before = card.device.counts(1).packets;
    await without.driver.transmit(frame(1514), { header: Uint8Array.from(header) });
    t.equal(card.device.counts(1).packets, before, 'not negotiated');
  }
  await without.end();
});

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

t.test('a tap that is deleted is made again (NT-030)', { skip: noTap }, async (t) => {
  const name = tapName();
  const card = await startCard(t, { tap: name });
  quiet(name);
  const { driver, end } = await card.connect();
  driver.post(16, 2048);
  await driver.transmit(frame(60));
  ip('link', 'del', name);
  const { drops } = card.device.counts(1);
  await driver.transmit(frame(60));
  await until(() => card.device.counts(1).drops.port === drops.port + 1);
  await until(() => {
    try {
      quiet(name);
      return true;
    } catch {
      return false;
    }
  });
  await driver.transmit(frame(60));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(card.device.counts(1).drops.port, drops.port + 1, 'frames go through again');
  await end();
});

t.test('four queue pairs (NT-032)', { skip: noTap }, async (t) => {
  const wire = new Wire(t, 4);
  const card = await startCard(t, { tap: wire.tap, queuePairs: 4 }, 2);
  const { frontend, driver, end } = await card.connect({ queues: 8 });
  for (let pair = 0; pair < 4; pair++) {
    driver.post(16, 2048, pair);
    await driver.transmit(frame(100 + pair, pair), { pair });
    t.equal((await wire.receive())?.frame.byteLength, 100 + pair, `up ${pair}`);
  }
  // One pair only: the host must not hash frames to queues nobody reads.
  for (const queue of [2, 3, 4, 5, 6, 7]) {
    await frontend.frontend.setVringEnable(queue, false);
  }
  await frontend.frontend.getFeatures();
  for (let i = 0; i < 12; i++) {
    wire.send(frame(200 + i, i, GUEST_MAC, HOST_MAC));
    t.equal((await driver.receive(0)).frame.byteLength, 200 + i);
  }
  t.same(
    [1, 2, 3].map((pair) => driver.waiting(pair)),
    [16, 16, 16],
  );
  await end();
});

/** An IPv4/TCP frame of `bytes`, its checksum left to be done. */
function tcpFrame(bytes: number): Uint8Array {
  const made = frame(bytes, 3, GUEST_MAC, HOST_MAC);
  const view = new DataView(made.buffer);
  made.fill(0, 14, 54);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, bytes - 14);
  view.setUint16(22, 0x4006);
  view.setUint32(26, 0x0a000001);
  view.setUint32(30, 0x0a000002);
  view.setUint16(24, ipChecksum(view));
  view.setUint16(34, 1234);
  view.setUint16(36, 80);
  view.setUint16(46, 0x5010);
  return made;
}

function ipChecksum(view: DataView): number {
  let sum = 0;
  for (let at = 14; at < 34; at += 2) {
    sum += view.getUint16(at);
  }
  return ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
}
