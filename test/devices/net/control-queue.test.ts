// The control queue through the whole daemon, as a front-end that hands it over has it.

import t from 'tap';
import { startCard } from '../../support/card.js';
import { BROADCAST, frame, HOST_MAC, macBytes, udpFrame } from '../../support/frames.js';
import { Wire, whyNoTap } from '../../support/taps.js';
import { until } from '../../support/until.js';

const noTap = whyNoTap() ?? false;
const [OK, ERROR] = [0, 1];
const RX_PROMISC = [0, 0] as const;
const RX_ALLMULTI = [0, 1] as const;
const MAC_TABLE = [1, 0] as const;
const MAC_ADDR = [1, 1] as const;
const VLAN_ADD = [2, 0] as const;
const VLAN_DEL = [2, 1] as const;
const TX_COALESCE = [6, 0] as const;
const RX_COALESCE = [6, 1] as const;
const ANNOUNCE_ACK = [3, 0] as const;
const PAIRS_SET = [4, 0] as const;
const OWN = '52:54:00:00:00:07';
/** Rings begin where no driver has been yet. */
const FRESH = { base: 0 };

t.test('every malformed command is answered with an error (NT-020, NT-022)', async (t) => {
  const card = await startCard(t, { null: true });
  const { driver, end } = await card.connect({ queues: 3, ...FRESH });
  const { chains } = driver;
  t.equal(await driver.control(RX_PROMISC, [0]), OK);
  t.equal(await driver.control([9, 9], []), ERROR, 'unknown');
  t.equal(await driver.control(RX_PROMISC, new Uint8Array(65_536)), ERROR, '64 KiB and more');
  for (const bytes of [0, 1]) {
    const { usedBytes, bytes: answer } = await chains.send(2, new Uint8Array(bytes), 1);
    t.same([usedBytes, answer[0]], [1, ERROR], `header of ${bytes} bytes`);
  }
  t.equal((await chains.send(2, Uint8Array.of(...RX_PROMISC, 1), 0)).usedBytes, 0, 'no answer');
  const torn = await chains.send(2, Uint8Array.of(...RX_PROMISC, 1), 7, { pieceBytes: 1 });
  t.same([torn.usedBytes, torn.bytes[0]], [1, OK], 'a byte a descriptor');
  const table = await chains.send(2, Uint8Array.of(...RX_PROMISC, 1), 1, { indirect: true });
  t.same([table.usedBytes, table.bytes[0]], [1, OK], 'an indirect table');
  const { packets, drops } = card.device.counts(2);
  t.same([packets, drops.command], [3, 5], 'counted');
  await end();
});

t.test('a card whose control queue is not taken', async (t) => {
  const card = await startCard(t, { null: true });
  const { driver, end } = await card.connect({ queues: 3, withoutFeatures: 1n << 17n });
  const { usedBytes } = await driver.chains.send(2, Uint8Array.of(0, 0, 0), 1);
  t.equal(usedBytes, 0, 'is no control queue (NT-020)');
  await end();
});

t.test('filters take effect on frames to the driver', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap, mac: OWN });
  const { driver, end } = await card.connect({ queues: 3, ...FRESH });
  driver.post(64, 2048);
  let seed = 0;
  /** Whether a frame comes through: one to all, sent behind it, always does. */
  const passes = async (to: string, vlan?: number) => {
    const sent = frame(100, ++seed, to, HOST_MAC);
    if (vlan !== undefined) {
      sent.set([0x81, 0, vlan >>> 8, vlan & 255], 12);
    }
    wire.send(sent);
    wire.send(frame(64, ++seed, BROADCAST, HOST_MAC));
    const first = await driver.receive();
    if (first.frame.byteLength === 64) {
      return false;
    }
    await driver.receive();
    return true;
  };
  const OTHER = '52:54:00:00:00:08';
  const GROUP = '01:00:5e:01:02:03';
  t.same([await passes(OWN), await passes(OTHER), await passes(GROUP)], [true, true, true], 'new');
  t.equal(await passes(OWN, 5), true, 'promiscuous');
  t.equal(await driver.control(RX_PROMISC, [0]), OK);
  t.equal(await passes(OWN, 5), false, 'a VLAN it has not asked for');
  t.equal(await driver.control(VLAN_ADD, [5, 0]), OK);
  t.same([await passes(OWN, 5), await passes(OWN, 6)], [true, false]);
  t.equal(await driver.control(VLAN_DEL, [5, 0]), OK);
  t.equal(await passes(OWN, 5), false);
  t.equal(await driver.control([0, 2], [1]), OK);
  t.equal(await driver.control(RX_ALLMULTI, [1]), OK);
  t.same([await passes(OTHER), await passes(GROUP)], [true, true], 'all of a kind');
  t.equal(await driver.control([0, 2], [0]), OK);
  t.equal(await driver.control(RX_ALLMULTI, [0]), OK);
  t.same([await passes(OWN), await passes(OTHER), await passes(GROUP)], [true, false, false]);
  const tables = [1, 0, 0, 0, ...macBytes(OTHER), 1, 0, 0, 0, ...macBytes(GROUP)];
  t.equal(await driver.control(MAC_TABLE, tables), OK);
  t.same([await passes(OTHER), await passes(GROUP)], [true, true], 'tables');
  t.equal(await driver.control(MAC_TABLE, new Uint8Array(8)), OK);
  t.same([await passes(OTHER), await passes(GROUP)], [false, false], 'empty ones');
  t.equal(await driver.control(MAC_ADDR, macBytes(OTHER)), OK);
  t.same([await passes(OWN), await passes(OTHER)], [false, true], 'another address');
  t.same([...card.device.getConfig(0, 6)], [...macBytes(OTHER)]);
  t.equal(await driver.control(RX_PROMISC, [1]), OK);
  t.same([await passes(OWN), await passes(OWN, 6)], [true, true], 'promiscuous');
  t.ok(card.device.counts(0).drops.filtered >= 8);
  t.equal(card.device.counts(0).drops.room, 0);
  await end();
  // The address goes with the driver.
  await until(() => card.device.getConfig(5, 1)[0] === 7);
});

t.test('one pair until the driver asks for more, in every worker', { skip: noTap }, async (t) => {
  const wire = new Wire(t, 2);
  const card = await startCard(t, { tap: wire.tap, queuePairs: 2 }, 2);
  const { driver, end } = await card.connect({ queues: 5, queueSize: 512, ...FRESH });
  driver.post(500, 2048, 0);
  driver.post(500, 2048, 1);
  const received = () => [0, 2].reduce((all, queue) => all + card.device.counts(queue).packets, 0);
  const spread = async () => {
    const before = card.device.counts(2).packets;
    const expected = received() + 24;
    for (let i = 0; i < 24; i++) {
      // The host spreads by addresses and ports.
      wire.send(udpFrame(100, 1000 + i));
    }
    await until(() => received() === expected);
    return card.device.counts(2).packets - before;
  };
  t.equal(await spread(), 0, 'one pair');
  t.equal(await driver.control(PAIRS_SET, [2, 0]), OK);
  await until(async () => (await spread()) > 0);
  t.equal(await driver.control(PAIRS_SET, [3, 0]), ERROR);
  await end();
});

t.test(
  'SEND_RARP: the host learns, and so does the driver (NT-035)',
  { skip: noTap },
  async (t) => {
    const wire = new Wire(t);
    const card = await startCard(t, { tap: wire.tap, mac: OWN });
    const { frontend, driver, end } = await card.connect({ queues: 3, ...FRESH });
    t.equal(await driver.control(ANNOUNCE_ACK, []), ERROR, 'unasked');
    await frontend.frontend.sendRarp(macBytes('52:54:00:0a:0b:0c'));
    const said = (await wire.receive())?.frame ?? new Uint8Array(0);
    t.same([...said.subarray(6, 14)], [0x52, 0x54, 0, 10, 11, 12, 0x80, 0x35]);
    t.equal(said.byteLength, 60);
    t.equal((await frontend.frontend.getConfig(0, 8))[6], 3, 'link up, announce');
    t.equal(await driver.control(ANNOUNCE_ACK, []), OK);
    t.equal((await frontend.frontend.getConfig(0, 8))[6], 1, 'link up');
    await end();
  },
);

/** Packets and microseconds. */
const pacing = (packets: number, us: number) => new Uint8Array(Uint32Array.of(packets, us).buffer);

t.test('calls wait for each other as the driver asks', async (t) => {
  const card = await startCard(t, { null: true });
  const { frontend, driver, end } = await card.connect({ queues: 3, ...FRESH });
  const queue = frontend.queue(1);
  const offer = (count: number) => {
    for (let i = 0; i < count; i++) {
      driver.chains.offer(1, new Uint8Array(72), 0);
    }
  };
  /** Whether a call comes within this time; what was used is taken then. */
  const called = async (ms: number) => {
    const came = await queue.signalled(queue.callFd, ms);
    t.ok(driver.chains.pending >= 0);
    return came;
  };
  const LONG_US = 900_000;
  await driver.transmit(frame(60));
  // Of the first frame, which may have been seen without it.
  await queue.signalled(queue.callFd, 50);
  t.equal(await driver.control(TX_COALESCE, pacing(4, LONG_US)), OK);
  offer(3);
  await until(() => queue.driver.hasUsed && card.device.counts(1).packets === 4);
  t.equal(await queue.signalled(queue.callFd, 100), false, 'three packets are not enough');
  offer(1);
  t.equal(await called(400), true, 'four are');
  t.equal(await driver.control(TX_COALESCE, pacing(4, 50_000)), OK);
  offer(1);
  const beganMs = performance.now();
  t.equal(await called(2000), true, 'and time is');
  const tookMs = performance.now() - beganMs;
  t.ok(tookMs > 35, `${tookMs} ms`);
  t.equal(await driver.control(RX_COALESCE, pacing(4, LONG_US)), OK);
  t.equal(await driver.control(TX_COALESCE, pacing(0, LONG_US)), OK);
  offer(5);
  t.equal(await queue.signalled(queue.callFd, 100), false, 'time alone');
  t.equal(await driver.control(TX_COALESCE, pacing(4, 0)), OK);
  t.equal(await called(400), true, 'a new rule: what was held back comes at once');
  offer(1);
  t.equal(await called(400), true, 'without time nothing is held back');
  t.equal(await driver.control(TX_COALESCE, pacing(9, 0xffff_ffff)), OK);
  offer(1);
  t.equal(await called(3000), true, 'an hour is a second');
  offer(1);
  await until(() => card.device.counts(1).packets === 14);
  await frontend.frontend.getVringBase(1);
  t.equal(await queue.signalled(queue.callFd, 100), true, 'a ring that stops owes nothing');
  await end();
});
