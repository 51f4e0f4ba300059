// What the data half makes of chains, through the whole daemon.

import t from 'tap';
import type { HandlerContext } from '../../../src/core/device.js';
import { hasFeature, VIRTIO_F_RING_PACKED } from '../../../src/core/protocol/index.js';
import { ControlState } from '../../../src/devices/net/control-state.js';
import { NetCounters } from '../../../src/devices/net/counters.js';
import { handlerFactory } from '../../../src/devices/net/handler.js';
import { native } from '../../../src/native/index.js';
import { NET_HEADER_BYTES, type TestFrontend } from '../../../src/testing/index.js';
import { startCard } from '../../support/card.js';
import { frame, GUEST_MAC, HOST_MAC, macBytes } from '../../support/frames.js';
import { eventfd } from '../../support/resources.js';
import { Wire, whyNoTap } from '../../support/taps.js';

const noTap = whyNoTap() ?? false;

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

t.test('frames in pieces, headers torn (NT-002, NT-005)', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap });
  const { driver, end } = await card.connect({ queueSize: 256 });
  const rows = [
    { bytes: 60, pieceBytes: 3 },
    { bytes: 1514, pieceBytes: 5, indirect: true },
    { bytes: 244, pieceBytes: 1 },
    { bytes: 1000, pieceBytes: 1, indirect: true },
  ];
  for (const [seed, { bytes, ...shape }] of rows.entries()) {
    const sent = frame(bytes, seed);
    t.equal(await driver.transmit(sent, shape), 0);
    const got = (await wire.receive())?.frame ?? new Uint8Array(0);
    t.equal(Buffer.compare(got, sent), 0, `${bytes} bytes by ${shape.pieceBytes}`);
  }
  await end();
});

t.test(
  'buffers marked as writable are frames all the same (NT-037)',
  { skip: noTap },
  async (t) => {
    const wire = new Wire(t);
    const card = await startCard(t, { tap: wire.tap });
    for (const packed of [false, true]) {
      const { frontend, driver, end } = await card.connect({ packed });
      t.equal(hasFeature(frontend.features, VIRTIO_F_RING_PACKED), packed);
      for (const indirect of [false, true]) {
        const sent = frame(600, 9);
        t.equal(await transmitMarked(frontend, sent, indirect), 0, 'nothing is written into it');
        const got = (await wire.receive())?.frame ?? new Uint8Array(0);
        t.equal(Buffer.compare(got, sent), 0, `packed: ${packed}, table: ${indirect}`);
        await driver.transmit(frame(100), { indirect });
        t.equal((await wire.receive())?.frame.byteLength, 100, 'and the queue goes on');
      }
      await end();
    }
  },
);

/** Sends a frame whose header and tail are marked as writable, and not what is between; the used
 *  length. */
async function transmitMarked(
  frontend: TestFrontend,
  sent: Uint8Array,
  indirect: boolean,
): Promise<number | undefined> {
  const queue = frontend.queue(1);
  const bytes = new Uint8Array(NET_HEADER_BYTES + sent.byteLength);
  bytes.set(sent, NET_HEADER_BYTES);
  const offset = frontend.memory.allocate(bytes.byteLength);
  frontend.memory.bytes.set(bytes, offset);
  const cuts = [0, NET_HEADER_BYTES, bytes.byteLength - 1, bytes.byteLength];
  const buffers = [0, 1, 2].map((i) => {
    const [from, to] = [cuts[i] as number, cuts[i + 1] as number];
    return { offset: offset + from, bytes: to - from, writable: i !== 1 };
  });
  queue.driver.add(buffers, { indirect });
  if (queue.driver.publish()) {
    queue.kick();
  }
  if (!queue.driver.hasUsed) {
    await queue.signalled(queue.callFd);
  }
  return queue.driver.takeUsed()[0]?.length;
}

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
  // A pair that may only send.
  await frontend.frontend.setVringEnable(5, true);
  await driver.transmit(frame(300), { pair: 2 });
  t.equal((await wire.receive())?.frame.byteLength, 300, 'up, on half a pair');
  t.equal(driver.waiting(2), 16);
  await end();
});

t.test('what a turn takes of one queue (NT-033)', async (t) => {
  const bellFd = eventfd();
  t.teardown(() => native.fdClose(bellFd));
  const limits: number[] = [];
  const context = {
    options: {
      host: { kind: 'null' },
      ...{ pairs: 1, queueSize: 16, counters: new NetCounters(3).buffer },
      ...{ control: ControlState.create(macBytes(GUEST_MAC), 0).buffer, bellFd },
    },
    useArena: () => {},
    watch: () => {},
    limitTurn: (bytes: number) => limits.push(bytes),
    paceCalls: () => {},
  };
  handlerFactory.create(context as unknown as HandlerContext);
  t.same(limits, [512 << 10]);
});

t.test(
  'a flood on one pair leaves the other its share (NT-016, NT-033)',
  { skip: noTap },
  async (t) => {
    const [loud, quiet] = [new Wire(t), new Wire(t)];
    const [flooded, calm] = [
      await startCard(t, { tap: loud.tap }),
      await startCard(t, { tap: quiet.tap }),
    ];
    const first = await flooded.connect({ queueSize: 256 });
    const second = await calm.connect();
    // Nobody takes what the host floods: bounded by the tap's queue, and no worker spins.
    for (let i = 0; i < 3000; i++) {
      loud.send(frame(1514, i, GUEST_MAC, HOST_MAC));
    }
    first.driver.post(200, 2048);
    second.driver.post(16, 2048);
    for (let i = 0; i < 10; i++) {
      quiet.send(frame(100 + i, i, GUEST_MAC, HOST_MAC));
      t.equal((await second.driver.receive()).frame.byteLength, 100 + i);
    }
    // The last chains wait for more when they have no room for the longest frame together.
    for (let i = 0; i < 100; i++) {
      await first.driver.receive();
    }
    t.ok(flooded.device.counts(0).packets <= 200, 'no more than there was room for');
    await first.end();
    await second.end();
  },
);
