// A card with --pcap: both directions, whatever way frames take to the guest.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startCard } from '../../../support/card.js';
import { BROADCAST, frame, GUEST_MAC, HOST_MAC } from '../../../support/frames.js';
import { readCapture } from '../../../support/pcapng.js';
import { temporaryDirectory } from '../../../support/resources.js';
import { listen } from '../../../support/stream-peer.js';
import { Wire, whyNoTap } from '../../../support/taps.js';
import { decodes } from '../../../support/tcpdump.js';
import { until } from '../../../support/until.js';

const LENGTHS = [60, 61, 1514];

/** One name for what was captured, to compare. */
const summary = (path: string) =>
  readCapture(readFileSync(path)).frames.map(({ inbound, bytes }) => [inbound, bytes.byteLength]);

async function untilFrames(path: string, count: number): Promise<void> {
  await until(() => summary(path).length >= count);
}

t.test('tap: frames as they crossed the ring', { skip: whyNoTap() ?? false }, async (t) => {
  const wire = new Wire(t);
  const pcap = join(temporaryDirectory(t), 'c.pcapng');
  const card = await startCard(t, { tap: wire.tap, pcap });
  const { driver, end } = await card.connect();
  for (const [i, bytes] of LENGTHS.entries()) {
    await driver.transmit(frame(bytes, i));
    await wire.receive();
  }
  driver.post(16, 600);
  for (const [i, bytes] of LENGTHS.entries()) {
    wire.send(frame(bytes, i, GUEST_MAC, HOST_MAC));
    t.equal((await driver.receive()).frame.byteLength, bytes);
  }
  await untilFrames(pcap, 6);
  await end();
  const { frames, interfaces } = readCapture(readFileSync(pcap));
  t.same(interfaces, ['net']);
  t.same(
    frames.map(({ bytes }) => [...bytes]),
    [
      ...LENGTHS.map((bytes, i) => [...frame(bytes, i, BROADCAST)]),
      ...LENGTHS.map((bytes, i) => [...frame(bytes, i, GUEST_MAC, HOST_MAC)]),
    ],
  );
  t.same(
    frames.map(({ inbound }) => inbound),
    [false, false, false, true, true, true],
  );
  t.ok(
    frames.every(({ stampNs }, i) => i === 0 || stampNs > (frames[i - 1]?.stampNs ?? 0n)),
    'later is later',
  );
  const lines = decodes(t, pcap, 6);
  t.ok(lines.length === 0 || lines[2]?.includes('length 1514'));
});

t.test('stream', async (t) => {
  const directory = temporaryDirectory(t);
  const pcap = join(directory, 'c.pcapng');
  const stream = join(directory, 'p');
  const listening = await listen(t, stream);
  const card = await startCard(t, { stream, pcap });
  const { driver, end } = await card.connect();
  const peer = await listening.peer;
  await driver.transmit(frame(1514, 1));
  driver.post(4, 2048);
  peer.send(frame(700, 2));
  t.equal((await driver.receive()).frame.byteLength, 700);
  await untilFrames(pcap, 2);
  t.same(summary(pcap), [
    [false, 1514],
    [true, 700],
  ]);
  await end();
  decodes(t, pcap, 2);
});
