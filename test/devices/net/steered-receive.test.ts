// Frames that come in on one input and leave on the queue their hash stands for: a stream, datagrams,
// and a tap whose queues the driver steers.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type CardSession, startCard } from '../../support/card.js';
import { frame, GUEST_MAC, HOST_MAC, udpFrame } from '../../support/frames.js';
import { HASH_KEY, HASH_OF_PORTS, hashVectorFrame } from '../../support/hash-vector.js';
import { temporaryDirectory } from '../../support/resources.js';
import { listen } from '../../support/stream-peer.js';
import { Wire, whyNoTap } from '../../support/taps.js';
import { until } from '../../support/until.js';

const PAIRS = 4;
const QUEUES = 2 * PAIRS + 1;
const FRESH = { base: 0 };
const RSS = [4, 1] as const;
const HASH_CONFIG = [4, 2] as const;
const PAIRS_SET = [4, 0] as const;
const OK = 0;
const TCP4 = 2;
const UDP4 = 4;

const le16 = (value: number) => [value & 255, value >>> 8];

const rss = (queues: readonly number[], unclassified: number, types = TCP4 | UDP4) => [
  ...[types, 0, 0, 0, ...le16(queues.length - 1), ...le16(unclassified)],
  ...[...queues.flatMap(le16), ...le16(PAIRS), HASH_KEY.length, ...HASH_KEY],
];

const pairsOf = (driver: CardSession['driver']) =>
  Array.from({ length: PAIRS }, (_, pair) => driver.waiting(pair));

/** Frames each pair has got since `before`. */
const got = (driver: CardSession['driver'], before: readonly number[]) =>
  pairsOf(driver).map((waiting, pair) => (before[pair] as number) - waiting);

async function openStream(t: Test, hashReport = false) {
  const stream = join(temporaryDirectory(t), 'p');
  const listening = await listen(t, stream);
  const card = await startCard(t, { stream, queuePairs: PAIRS });
  const session = await card.connect({ queues: QUEUES, hashReport, ...FRESH });
  for (let pair = 0; pair < PAIRS; pair++) {
    session.driver.post(60, 2048, pair);
  }
  return { card, ...session, peer: await listening.peer };
}

t.test('a stream: flows among the pairs in use, then as the driver says', async (t) => {
  const { driver, peer, end } = await openStream(t);
  const send = async (count: number) => {
    const before = pairsOf(driver);
    for (let i = 0; i < count; i++) {
      peer.send(udpFrame(100, 1000 + i));
    }
    const sum = () => got(driver, before).reduce((all, one) => all + one, 0);
    await until(() => sum() === count);
    return got(driver, before);
  };
  t.same(await send(8), [8, 0, 0, 0], 'a new driver has one pair');
  t.equal(await driver.control(PAIRS_SET, le16(2)), OK);
  const [first = 0, second = 0, ...rest] = await send(32);
  t.ok(first > 4 && second > 4, `${first} and ${second} of 32 flows`);
  t.same(rest, [0, 0]);
  t.equal(await driver.control(RSS, rss([3, 3, 3, 3], 1)), OK);
  t.same(await send(5), [0, 0, 0, 5]);
  let before = pairsOf(driver);
  peer.send(frame(60, 1, GUEST_MAC, HOST_MAC));
  await until(() => got(driver, before)[1] === 1);
  // The low two bits of the published hash are 00.
  t.equal(HASH_OF_PORTS & 3, 0);
  t.equal(await driver.control(RSS, rss([2, 0, 1, 3], 0)), OK);
  before = pairsOf(driver);
  peer.send(hashVectorFrame(80), hashVectorFrame(80));
  await until(() => got(driver, before)[2] === 2);
  for (let pair = 0; pair < PAIRS; pair++) {
    await driver.transmit(frame(200 + pair, pair), { pair });
  }
  await until(() => peer.frames.length === PAIRS);
  t.same(
    peer.frames.map(({ byteLength }) => byteLength),
    [200, 201, 202, 203],
    'all pairs send',
  );
  await end();
});

t.test('the hash in the header, behind which frames begin', async (t) => {
  const { card, driver, peer, end } = await openStream(t, true);
  const receive = async () => {
    peer.send(hashVectorFrame(80));
    const { header, frame: came } = await driver.receive();
    t.same([...came], [...hashVectorFrame(80)]);
    const view = new DataView(header.buffer);
    return [header.byteLength, view.getUint32(12, true), view.getUint16(16, true)];
  };
  t.same(await receive(), [20, 0, 0], 'not asked for');
  const config = [TCP4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, HASH_KEY.length, ...HASH_KEY];
  t.equal(await driver.control(HASH_CONFIG, config), OK);
  t.same(await receive(), [20, HASH_OF_PORTS, 2]);
  const short = driver.chains.offer(0, new Uint8Array(0), 19);
  await driver.transmit(frame(99, 1));
  await until(() => peer.frames.length === 1);
  t.same([...(peer.frames[0] ?? [])], [...frame(99, 1)], 'the other way');
  t.equal((await driver.chains.returned(short)).usedBytes, 0, 'no room for a header (NT-012)');
  const before = card.device.counts(1).drops.length;
  await driver.chains.send(1, new Uint8Array(33), 0);
  t.equal(card.device.counts(1).drops.length, before + 1, 'a frame of 13 bytes (NT-003)');
  await end();
});

t.test('a tap: by the driver, not by the host', { skip: whyNoTap() ?? false }, async (t) => {
  for (const hashReport of [false, true]) {
    const wire = new Wire(t, PAIRS);
    const card = await startCard(t, { tap: wire.tap, queuePairs: PAIRS });
    const { driver, end } = await card.connect({ queues: QUEUES, hashReport, ...FRESH });
    for (let pair = 0; pair < PAIRS; pair++) {
      driver.post(60, 700, pair);
    }
    t.equal(await driver.control(RSS, rss([3, 2, 3, 2], 1)), OK);
    const before = pairsOf(driver);
    for (let i = 0; i < 20; i++) {
      wire.send(udpFrame(100, 2000 + i));
    }
    wire.send(hashVectorFrame(1500));
    wire.send(frame(100, 1, GUEST_MAC, HOST_MAC));
    await until(() => got(driver, before)[1] === 1);
    const [none, unclassified, second = 0, third = 0] = got(driver, before);
    t.same([none, unclassified, second + third], [0, 1, 20 + 3], 'the long one in three chains');
    t.ok(second > 2 && third > 2, `${second} and ${third}`);
    for (let pair = 0; pair < PAIRS; pair++) {
      await driver.transmit(frame(200 + pair, pair), { pair });
      t.equal((await wire.receive())?.frame.byteLength, 200 + pair, `pair ${pair} sends`);
    }
    for (let i = 0; i < third; i++) {
      const { header, chains } = await driver.receive(3);
      if (chains > 1) {
        const hash = new DataView(header.buffer).getUint32(hashReport ? 12 : 0, true);
        t.equal(hash, hashReport ? HASH_OF_PORTS : 0);
        break;
      }
    }
    // The host's own rule again.
    t.equal(await driver.control(PAIRS_SET, le16(1)), OK);
    const after = pairsOf(driver);
    await until(() => {
      wire.send(udpFrame(100, 3000));
      return (got(driver, after)[0] as number) > 0;
    });
    await end();
  }
});
