// Real taps of the host, through the whole daemon.

import { readFileSync } from 'node:fs';
import t from 'tap';
import type { HandlerContext } from '../../../../src/core/device.js';
import { hasFeature } from '../../../../src/core/protocol/index.js';
import { CommandWriter } from '../../../../src/core/virtqueue/command-writer.js';
import { Arena } from '../../../../src/devices/net/arena.js';
import type { CompletionList } from '../../../../src/devices/net/completion-list.js';
import { NetCounters } from '../../../../src/devices/net/counters.js';
import { VIRTIO_NET_F_HOST_UFO } from '../../../../src/devices/net/format.js';
import { TapPort } from '../../../../src/devices/net/ports/tap-port.js';
import type { Receiver } from '../../../../src/devices/net/receive-queue.js';
import { exchange, native } from '../../../../src/native/index.js';
import { startCard } from '../../../support/card.js';
import { frame, GUEST_MAC, HOST_MAC, tcpFrame, udpFrame } from '../../../support/frames.js';
import { ip, quiet, tapName, Wire, whyNoTap } from '../../../support/taps.js';
import { until } from '../../../support/until.js';

const noTap = whyNoTap() ?? false;
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

t.test('a datagram left to be fragmented (UFO) is, by the host', { skip: noTap }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap });
  const { frontend, driver, end } = await card.connect();
  t.ok(hasFeature(frontend.features, VIRTIO_NET_F_HOST_UFO), 'offered');
  // NEEDS_CSUM, UDP, hdr_len 42, gso_size 1480, checksum from 34 at 6.
  const header = Uint8Array.from([1, 3, 42, 0, 1480 & 255, 1480 >> 8, 34, 0, 6, 0, 0, 0]);
  await driver.transmit(udpFrame(34 + 4000, 5), { header });
  const lengths: number[] = [];
  for (let i = 0; i < 3; i++) {
    lengths.push((await wire.receive())?.frame.byteLength ?? 0);
  }
  t.same(lengths, [1514, 1514, 34 + 4000 - 2 * 1480], 'pieces of gso_size behind each IP header');
  await end();
});

t.test(
  'a tap that is down takes nothing, and goes on when it is up (NT-030)',
  { skip: noTap },
  async (t) => {
    const wire = new Wire(t);
    const card = await startCard(t, { tap: wire.tap });
    const { driver, end } = await card.connect();
    driver.post(16, 2048);
    ip('link', 'set', wire.tap, 'down');
    for (let i = 0; i < 3; i++) {
      t.equal(await driver.transmit(frame(60, i)), 0);
    }
    await until(() => card.device.counts(1).drops.port === 3);
    ip('link', 'set', wire.tap, 'up');
    await until(async () => {
      await driver.transmit(frame(61));
      return (await wire.receive(20))?.frame.byteLength === 61;
    });
    wire.send(frame(200, 1, GUEST_MAC, HOST_MAC));
    t.equal((await driver.receive()).frame.byteLength, 200, 'and from the host');
    await end();
  },
);

t.test('a tap that is deleted is made again (NT-030)', { skip: noTap }, async (t) => {
  const name = tapName();
  const card = await startCard(t, { tap: name });
  quiet(name);
  const address = () => readFileSync(`/sys/class/net/${name}/address`, 'utf8');
  const before = address();
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
  t.equal(address(), before, 'to the address it had');
  await end();
});

t.test('headers of more commands than a table holds', async (t) => {
  const QUEUE_SIZE = 4096;
  const tables = new exchange.Exchange();
  const commands = new CommandWriter(tables);
  const arena = new Arena(1 << 20);
  const fd = native.eventfdCreate(0);
  const context = { commands, unwatch: () => {} } as unknown as HandlerContext;
  const nobody = {} as unknown as Receiver & CompletionList;
  const port = new TapPort(
    {
      ...{ context, arena, counters: new NetCounters(3), receive: nobody, done: nobody },
      ...{ firstNumber: 0, queueSize: QUEUE_SIZE },
    },
    { fd, multiQueue: false, persistent: false },
  );
  for (let head = 0; head < QUEUE_SIZE; head++) {
    port.transmit((1 << 16) | head, 12, 60, Uint32Array.of(head, 0, 0));
  }
  let seen = 0;
  let wrong = 0;
  do {
    const count = commands.take();
    for (let i = 0; i < count; i++, seen++) {
      const at = i * exchange.RECORD_WORDS;
      const head = (tables.commands[at + exchange.COMMAND_CHAIN] as number) & 0xffff;
      const place = tables.commands[at + exchange.COMMAND_TAIL_OFFSET] as number;
      wrong += arena.words(place, 1)[0] === head ? 0 : 1;
    }
  } while (commands.pending);
  t.same([seen, wrong], [QUEUE_SIZE, 0], 'each still has its own');
  port.close();
  native.fdClose(fd);
});
