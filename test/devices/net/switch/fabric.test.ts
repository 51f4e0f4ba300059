// Frames between guests, through the whole daemon: two and three drivers of ours at one switch.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { NET_HEADER_BYTES } from '../../../../src/testing/index.js';
import { BROADCAST, frame, macBytes, tcpFrame } from '../../../support/frames.js';
import { readCapture } from '../../../support/pcapng.js';
import { temporaryDirectory } from '../../../support/resources.js';
import { type SwitchGuest, startSwitch } from '../../../support/switch-rig.js';
import { decodes } from '../../../support/tcpdump.js';
import { until } from '../../../support/until.js';
import { tagged } from '../../../support/vlan-frames.js';

const mac = (port: number) => `52:54:00:00:00:0${port}`;
const RECEIVE_BYTES = 2048;
/** 3000 bytes: the header is in the first. */
const IN_TWO_BUFFERS = [RECEIVE_BYTES - 12, 3000 - (RECEIVE_BYTES - 12) - 12];

async function connectAll(
  rig: Awaited<ReturnType<typeof startSwitch>>,
  count: number,
): Promise<SwitchGuest[]> {
  const guests: SwitchGuest[] = [];
  for (let port = 0; port < count; port++) {
    const guest = await rig.connect(port);
    guest.driver.post(32, RECEIVE_BYTES);
    guests.push(guest);
  }
  return guests;
}

const endAll = (guests: readonly SwitchGuest[]) => Promise.all(guests.map(({ end }) => end()));

/** Sends, and says which other guests got it, and as what. */
async function exchangeFrame(
  guests: readonly SwitchGuest[],
  from: number,
  sent: Uint8Array,
): Promise<Map<number, Uint8Array>> {
  const before = guests.map(({ received }) => received().packets);
  await guests[from]?.driver.transmit(sent);
  const got = new Map<number, Uint8Array>();
  for (const [port, guest] of guests.entries()) {
    if (guest.received().packets > (before[port] as number)) {
      got.set(port, (await guest.driver.receive()).frame);
    }
  }
  return got;
}

t.test('floods what it does not know, learns, and sends to one', async (t) => {
  const guests = await connectAll(await startSwitch(t, ['', '', '']), 3);
  const first = frame(100, 1, mac(1), mac(0));
  t.same([...(await exchangeFrame(guests, 0, first)).keys()], [1, 2], 'unknown');
  const answer = frame(1514, 2, mac(0), mac(1));
  const got = await exchangeFrame(guests, 1, answer);
  t.same([...got.keys()], [0], 'learned');
  t.equal(Buffer.compare(got.get(0) as Uint8Array, answer), 0);
  t.same([...(await exchangeFrame(guests, 0, first)).keys()], [1]);
  t.same([...(await exchangeFrame(guests, 2, frame(60, 1, BROADCAST, mac(2)))).keys()], [0, 1]);
  t.same([...(await exchangeFrame(guests, 2, frame(60, 1, mac(1), mac(0)))).keys()], [1], 'moved');
  t.same([...(await exchangeFrame(guests, 1, frame(60, 1, mac(0), mac(1)))).keys()], [2]);
  await endAll(guests);
});

/** Frames the device finds in one batch: none is shown before all are there. */
async function sendTogether(guest: SwitchGuest, frames: readonly Uint8Array[]): Promise<void> {
  const { memory } = guest.frontend;
  const queue = guest.frontend.queue(1);
  for (const bytes of frames) {
    const offset = memory.allocate(NET_HEADER_BYTES + bytes.byteLength);
    memory.bytes.fill(0, offset, offset + NET_HEADER_BYTES);
    memory.bytes.set(bytes, offset + NET_HEADER_BYTES);
    const buffer = { offset, bytes: NET_HEADER_BYTES + bytes.byteLength, writable: false };
    queue.driver.add([buffer]);
  }
  queue.driver.publish();
  queue.kick();
  let back = 0;
  await until(() => {
    back += queue.driver.takeUsed().length;
    return back === frames.length;
  });
}

t.test('frames of a batch keep their order, in rows or not', async (t) => {
  const guests = await connectAll(await startSwitch(t, ['', '']), 2);
  const [first, second] = guests as [SwitchGuest, SwitchGuest];
  await exchangeFrame(guests, 1, frame(60, 0, mac(0), mac(1)));
  const to = (port: number, bytes: number, seed: number) => frame(bytes, seed, mac(port), mac(0));
  // The device takes half of them at a time.
  const sent = [
    ...[1, 2, 3].map((seed) => to(1, 60 + seed, seed)),
    // In two buffers.
    to(1, 3000, 4),
    ...[5, 6].map((seed) => to(1, 1400, seed)),
    // To nobody that is known: flooded.
    to(2, 62, 7),
    to(1, 60, 8),
    ...[9, 10, 11, 12, 13, 14, 15, 16].map((seed) => to(1, 60, seed)),
  ];
  const counts = () => [first.sent().packets, second.received().packets, second.received().bytes];
  const before = counts();
  await sendTogether(first, sent);
  // In the order of the used ring, which is what a driver goes by.
  const used = second.frontend.queue(0).driver.takeUsed();
  t.same(
    used.map(({ length }) => length - NET_HEADER_BYTES),
    sent.flatMap(({ byteLength }) => (byteLength < RECEIVE_BYTES ? [byteLength] : IN_TWO_BUFFERS)),
  );
  const lengths = sent.reduce((sum, { byteLength }) => sum + byteLength, 0);
  t.same(
    counts().map((count, i) => count - (before[i] as number)),
    [16, 16, lengths],
    'counted as each by itself',
  );
  await endAll(guests);
});

t.test('a destination rewritten while the switch is at it (NT-011)', async (t) => {
  const guests = await connectAll(await startSwitch(t, ['', '', '']), 3);
  const [liar, ...others] = guests as [SwitchGuest, SwitchGuest, SwitchGuest];
  for (const port of [1, 2]) {
    await exchangeFrame(guests, port, frame(60, 0, BROADCAST, mac(port)));
  }
  const { memory } = liar.frontend;
  const queue = liar.frontend.queue(1);
  const sent = frame(60, 1, mac(1), mac(0));
  const offset = memory.allocate(NET_HEADER_BYTES + sent.byteLength);
  memory.bytes.fill(0, offset, offset + NET_HEADER_BYTES);
  memory.bytes.set(sent, offset + NET_HEADER_BYTES);
  const lastOfAddress = offset + NET_HEADER_BYTES + 5;
  const ROUNDS = 400;
  let astray = 0;
  for (let round = 0; round < ROUNDS; round++) {
    queue.driver.add([{ offset, bytes: NET_HEADER_BYTES + sent.byteLength, writable: false }]);
    queue.driver.publish();
    queue.kick();
    for (let i = 0; !queue.driver.hasUsed; i++) {
      memory.bytes[lastOfAddress] = 1 + (i & 1);
    }
    queue.driver.takeUsed();
    for (const [i, { driver, frontend }] of others.entries()) {
      while (frontend.queue(0).driver.hasUsed) {
        const { frame: got } = await driver.receive();
        driver.post(1, RECEIVE_BYTES);
        astray += got[5] === i + 1 ? 0 : 1;
      }
    }
  }
  t.equal(astray, 0, 'who gets a frame is whom it is addressed to');
  const arrived = others.map(({ received }) => received().packets);
  t.ok(
    arrived.every((packets) => packets > 2),
    `${arrived} frames, some this way and some that`,
  );
  await endAll(guests);
});

t.test('what is forwarded to nobody (NT-034)', async (t) => {
  const guests = await connectAll(await startSwitch(t, ['', ''], { stormPerSecond: 20 }), 2);
  const rows = [
    ['source', frame(60, 1, mac(1), '01:00:5e:00:00:01')],
    ['source', frame(60, 1, mac(1), '00:00:00:00:00:00')],
    ['filtered', frame(60, 1, '01:80:c2:00:00:0e', mac(0))],
    ['vlan', tagged(frame(60, 1, mac(1), mac(0)), 4095)],
    ['length', frame(13)],
    ['length', tagged(frame(60, 1, mac(1), mac(0)), 5).slice(0, 16)],
  ] as const;
  for (const [reason, bytes] of rows) {
    const before = guests[0]?.sent().drops[reason] as number;
    t.equal((await exchangeFrame(guests, 0, bytes)).size, 0, reason);
    t.equal(guests[0]?.sent().drops[reason], before + 1, `${reason} counted`);
  }
  for (let i = 0; i < 20; i++) {
    await exchangeFrame(guests, 0, frame(60, i, BROADCAST, mac(0)));
  }
  t.ok((guests[0]?.sent().drops.storm as number) > 10, 'a storm is bounded');
  t.equal((await exchangeFrame(guests, 0, frame(60, 1, mac(1), mac(0)))).size, 1, 'others pass');
  t.equal((await exchangeFrame(guests, 1, frame(60, 1, mac(1), mac(1)))).size, 0, 'to itself');
  await endAll(guests);
});

t.test('VLANs: access, trunk, native', async (t) => {
  const rules = ['access=10', 'access=20', 'trunk=10+20,native=30', 'access=10', 'access=30'];
  const guests = await connectAll(await startSwitch(t, rules), 5);
  const plain = (from: number) => frame(100, from, BROADCAST, mac(from));
  const rows: readonly (readonly [
    from: number,
    sent: Uint8Array,
    got: Readonly<Record<number, Uint8Array>>,
  ])[] = [
    [0, plain(0), { 2: tagged(plain(0), 10), 3: plain(0) }],
    [1, plain(1), { 2: tagged(plain(1), 20) }],
    [2, tagged(plain(2), 20, 3), { 1: plain(2) }],
    [2, tagged(plain(2), 10), { 0: plain(2), 3: plain(2) }],
    [2, plain(2), { 4: plain(2) }],
    [2, tagged(plain(2), 99), {}],
    [0, tagged(plain(0), 10), {}],
    [0, tagged(plain(0), 0, 6), { 2: tagged(plain(0), 10, 6), 3: plain(0) }],
    [4, plain(4), { 2: plain(4) }],
  ];
  for (const [from, sent, expected] of rows) {
    const got = await exchangeFrame(guests, from, sent);
    const what = `from ${from}, ${sent.byteLength} bytes`;
    t.same([...got.keys()], Object.keys(expected).map(Number), what);
    for (const [port, bytes] of got) {
      t.equal(Buffer.compare(bytes, expected[port] as Uint8Array), 0, `${what} at ${port}`);
    }
  }
  await endAll(guests);
});

t.test('isolated ports reach only those that are not', async (t) => {
  const guests = await connectAll(await startSwitch(t, ['', 'isolated', 'isolated']), 3);
  const to = async (from: number) => [
    ...(await exchangeFrame(guests, from, frame(60, 1, BROADCAST, mac(from)))).keys(),
  ];
  t.same([await to(0), await to(1), await to(2)], [[1, 2], [0], [0]]);
  t.equal((await exchangeFrame(guests, 1, frame(60, 1, mac(2), mac(1)))).size, 0, 'known, too');
  await endAll(guests);
});

t.test('no room: dropped and counted, others served (NT-015)', async (t) => {
  const guests = await connectAll(await startSwitch(t, ['', '', '']), 2);
  for (let i = 0; i < 40; i++) {
    await guests[0]?.driver.transmit(frame(1000, i, mac(1), mac(0)));
  }
  t.equal(guests[1]?.received().packets, 32);
  t.equal(guests[1]?.received().drops.room, 8);
  for (let i = 0; i < 32; i++) {
    const got = (await guests[1]?.driver.receive())?.frame as Uint8Array;
    t.equal(Buffer.compare(got, frame(1000, i, mac(1), mac(0))), 0);
  }
  guests[1]?.driver.post(2, RECEIVE_BYTES);
  await guests[0]?.driver.transmit(frame(1000, 77, mac(1), mac(0)));
  t.equal((await guests[1]?.driver.receive())?.frame.byteLength, 1000, 'on again');
  await endAll(guests);
});

t.test('long frames over small buffers; without merging they need one', async (t) => {
  const rig = await startSwitch(t, ['', '']);
  const sender = await rig.connect(0);
  const merging = await rig.connect(1);
  merging.driver.post(64, 1526);
  const long = frame(60_000, 5, mac(1), mac(0));
  // The switch takes what was posted little by little.
  while (merging.received().packets === 0) {
    await sender.driver.transmit(long);
  }
  const got = await merging.driver.receive();
  t.equal(got.chains, Math.ceil(60_012 / 1526));
  t.equal(Buffer.compare(got.frame, long), 0);
  await merging.end();
  const single = await rig.connect(1, { withoutFeatures: 1n << 15n });
  single.driver.post(8, 1526);
  const before = single.received().drops.room;
  await sender.driver.transmit(frame(1515, 1, mac(1), mac(0)));
  t.equal(single.received().drops.room - before, 1);
  await sender.driver.transmit(frame(1514, 1, mac(1), mac(0)));
  t.equal((await single.driver.receive()).frame.byteLength, 1514);
  await single.end();
  await sender.end();
});

const TCP_SUM = Uint8Array.of(1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0);
const TSO = Uint8Array.of(1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0);

t.test('what the sender left to do (NT-036)', async (t) => {
  const rig = await startSwitch(t, ['access=7', 'access=7', 'trunk=7']);
  const sender = await rig.connect(0);
  const bare = await rig.connect(1, { withoutFeatures: (1n << 1n) | (1n << 7n) });
  const trunk = await rig.connect(2);
  bare.driver.post(60, 700);
  trunk.driver.post(64, RECEIVE_BYTES);
  const sent = tcpFrame(301);
  sent.set(macBytes(BROADCAST));
  await sender.driver.transmit(sent, { header: TCP_SUM });
  const summed = await bare.driver.receive();
  t.same([...summed.header.subarray(0, 10)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 'nothing left to do');
  t.equal(sumOf(summed.frame, 34), 0xffff ^ sumOf(sent.subarray(0, 34), 34), 'the sum is done');
  const left = await trunk.driver.receive();
  t.same([...left.header], [1, 0, 0, 0, 0, 0, 38, 0, 16, 0, 1, 0], 'behind the tag');
  t.equal(Buffer.compare(left.frame, tagged(sent, 7)), 0);
  const long = tcpFrame(20_000);
  long.set(macBytes(BROADCAST));
  await sender.driver.transmit(long, { header: TSO });
  const segments = await trunk.driver.receive();
  t.same([...segments.header.subarray(0, 8)], [1, 1, 58, 0, 0xa8, 5, 38, 0]);
  t.equal(segments.frame.byteLength, 20_004);
  const pieces: Uint8Array[] = [];
  for (let left = 20_000 - 54; left > 0; left -= 0x5a8) {
    const { header, frame: piece, chains } = await bare.driver.receive();
    t.same([...header], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, chains, 0], 'nothing left to do');
    const view = new DataView(piece.buffer, piece.byteOffset);
    t.equal(view.getUint16(16), piece.byteLength - 14, 'length');
    t.equal(view.getUint32(38), 20_000 - 54 - left, 'sequence');
    t.equal(sumOf(piece.subarray(0, 34), 14), 0xffff, 'sum of the IP header');
    pieces.push(piece.subarray(54));
  }
  t.equal(Buffer.compare(Buffer.concat(pieces), long.subarray(54)), 0, 'cut for those who need it');
  t.equal(bare.received().drops.offload, 0);
  t.equal(bare.received().drops.room, 0);
  long[12] = 0x86;
  await sender.driver.transmit(long, { header: TSO });
  t.equal(bare.received().drops.offload, 1, 'headers that lie');
  await endAll([sender, bare, trunk]);
});

t.test(
  'what was decided holds for the frames that follow, and no longer than it should',
  async (t) => {
    const guests = await connectAll(await startSwitch(t, ['access=7', 'trunk=7', 'access=7']), 3);
    const [access, trunk, other] = guests as [SwitchGuest, SwitchGuest, SwitchGuest];
    const there = frame(300, 1, mac(1), mac(0));
    const back = frame(200, 2, mac(0), mac(1));
    await exchangeFrame(guests, 0, there);
    for (let i = 0; i < 3; i++) {
      const got = await exchangeFrame(guests, 1, tagged(back, 7, 5));
      t.same([...got.keys()], [0]);
      t.equal(Buffer.compare(got.get(0) as Uint8Array, back), 0, 'without its tag');
      const tag = await exchangeFrame(guests, 0, there);
      t.equal(Buffer.compare(tag.get(1) as Uint8Array, tagged(there, 7)), 0, 'with a tag');
    }
    t.same([access.sent().packets, access.received().bytes], [4, 600]);
    t.same([trunk.sent().bytes, trunk.received().bytes], [3 * 204, 4 * 304]);
    // Whose offsets lie within the first of them need not lie within the next.
    for (const bytes of [100, 90, 53, 51, 100]) {
      const dropped = access.sent().drops.header;
      await access.driver.transmit(there.slice(0, bytes), { header: TCP_SUM });
      t.equal(access.sent().drops.header - dropped, bytes < 52 ? 1 : 0, `${bytes} bytes`);
      if (bytes >= 52) {
        const { header, frame: got } = await trunk.driver.receive();
        t.same([...header], [1, 0, 0, 0, 0, 0, 38, 0, 16, 0, 1, 0]);
        t.equal(got.byteLength, bytes + 4);
      }
    }
    await exchangeFrame(guests, 2, frame(60, 1, mac(0), mac(1)));
    t.same([...(await exchangeFrame(guests, 0, there)).keys()], [2], 'the station has moved');
    t.same([...(await exchangeFrame(guests, 0, there)).keys()], [2]);
    await other.end();
    t.same([...(await exchangeFrame([access, trunk], 0, there)).keys()], [], 'nobody is there');
    await exchangeFrame([access, trunk], 1, tagged(back, 7));
    t.same([...(await exchangeFrame([access, trunk], 0, there)).keys()], [1], 'it is back');
    await endAll([access, trunk]);
  },
);

/** Ones' complement sum of a frame from `start` on. */
function sumOf(bytes: Uint8Array, start: number): number {
  let sum = 0;
  for (let at = start; at < bytes.byteLength; at += 2) {
    sum += ((bytes[at] as number) << 8) | (bytes[at + 1] ?? 0);
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

t.test('a flood of one guest; another keeps its share (NT-033)', async (t) => {
  const guests = await connectAll(await startSwitch(t, ['', '', '']), 3);
  await exchangeFrame(guests, 2, frame(60, 1, BROADCAST, mac(2)));
  const flood = guests[0] as SwitchGuest;
  let flooding = true;
  const flooded = (async () => {
    // Shared memory is not given back: a bound on what the flood takes of it.
    for (let round = 0; flooding && round < 25; round++) {
      const offered = Array.from({ length: 16 }, (_, i) =>
        flood.driver.chains.offer(1, withHeader(frame(60_000, i, mac(9), mac(0))), 0),
      );
      for (const each of offered) {
        await flood.driver.chains.returned(each);
      }
    }
  })();
  for (let i = 0; i < 30; i++) {
    await guests[1]?.driver.transmit(frame(100, i, mac(2), mac(1)));
  }
  flooding = false;
  await flooded;
  t.equal(guests[1]?.sent().packets, 30);
  await endAll(guests);
});

const withHeader = (bytes: Uint8Array) => Buffer.concat([new Uint8Array(12), bytes]);

t.test('guests come and go, and change their memory, while others talk', async (t) => {
  const rig = await startSwitch(t, ['', '', '']);
  const guests = await connectAll(rig, 2);
  let talking = true;
  let talked = 0;
  let changed = 0;
  const talk = (async () => {
    while (talking) {
      const sent = frame(500, talked, mac(1), mac(0));
      await guests[0]?.driver.transmit(sent);
      const got = (await guests[1]?.driver.receive())?.frame as Uint8Array;
      changed += Buffer.compare(got, sent) === 0 ? 0 : 1;
      guests[1]?.driver.post(1, RECEIVE_BYTES);
      talked++;
    }
  })();
  await until(() => talked > 0);
  for (let i = 0; i < 5; i++) {
    const third = await rig.connect(2);
    third.driver.post(8, RECEIVE_BYTES);
    await third.driver.transmit(frame(60, 1, mac(0), mac(2)));
    await third.end();
  }
  await until(() => talked > 20);
  talking = false;
  await talk;
  t.equal(changed, 0, `of ${talked} frames`);
  await endAll(guests);
});

t.test('--pcap has every port', async (t) => {
  const pcap = join(temporaryDirectory(t), 'c.pcapng');
  const guests = await connectAll(await startSwitch(t, ['access=5', 'trunk=5'], { pcap }), 2);
  const sent = frame(200, 1, BROADCAST, mac(0));
  await exchangeFrame(guests, 0, sent);
  await until(() => readCapture(readFileSync(pcap)).frames.length === 2);
  const { frames, interfaces } = readCapture(readFileSync(pcap));
  t.same(interfaces, ['port0', 'port1']);
  t.same(
    frames.map((each) => [each.interface, each.inbound]),
    [
      [0, false],
      [1, true],
    ],
  );
  t.same(frames[0]?.bytes, Buffer.from(sent));
  t.same(frames[1]?.bytes, Buffer.from(tagged(sent, 5)));
  decodes(t, pcap, 2);
  await endAll(guests);
});
