// Streams of frames, with real peers that come late, leave, lie and stall.

import { connect as netConnect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { startCard } from '../../../support/card.js';
import { frame, GUEST_MAC, HOST_MAC, tcpFrame } from '../../../support/frames.js';
import { temporaryDirectory } from '../../../support/resources.js';
import { length, listen, Peer } from '../../../support/stream-peer.js';
import { until } from '../../../support/until.js';

const down = (bytes: number, seed: number) => frame(bytes, seed, GUEST_MAC, HOST_MAC);

t.test('--stream: frames both ways, merged and not', async (t) => {
  const path = join(temporaryDirectory(t), 'peer');
  const { peer: connected } = await listen(t, path);
  const card = await startCard(t, { stream: path });
  for (const [options, room] of [
    [{}, 900],
    [{ withoutFeatures: 1n << 15n }, 9100],
  ] as const) {
    const { driver, end } = await card.connect({ ...options, queueSize: 256 });
    // It is connected to when the first driver's rings start.
    const peer = await connected;
    peer.frames.length = 0;
    driver.post(100, room);
    const sizes = [14, 60, 1514, 9014];
    for (const [i, bytes] of sizes.entries()) {
      await driver.transmit(frame(bytes, i));
    }
    await until(() => peer.frames.length === sizes.length);
    sizes.forEach((bytes, i) => {
      t.equal(Buffer.compare(peer.frames[i] as Buffer, frame(bytes, i)), 0, `up ${bytes}`);
    });
    peer.send(...sizes.map((bytes, i) => down(bytes, i)));
    for (const [i, bytes] of sizes.entries()) {
      const got = await driver.receive();
      t.equal(Buffer.compare(got.frame, down(bytes, i)), 0, `down ${bytes}`);
      t.equal(got.chains, Math.ceil((bytes + 12) / room), 'num_buffers');
    }
    await end();
  }
  (await connected).socket.destroy();
});

/** Flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers. */
const offload = (flags: number, type: number, gsoBytes: number, start = 34, offset = 16) =>
  Uint8Array.of(flags, type, 54, 0, gsoBytes & 255, gsoBytes >>> 8, start, 0, offset, 0, 0, 0);

t.test('frames that are to be finished are finished (NT-036)', async (t) => {
  const path = join(temporaryDirectory(t), 'peer');
  const { peer: connected } = await listen(t, path);
  const card = await startCard(t, { stream: path });
  const { driver, end } = await card.connect();
  const peer = await connected;
  const sent = tcpFrame(54 + 5000);
  t.equal(await driver.transmit(sent, { header: offload(1, 1, 1448) }), 0);
  await until(() => peer.frames.length === 4);
  t.same(
    peer.frames.map((got) => got.byteLength),
    [54 + 1448, 54 + 1448, 54 + 1448, 54 + 656],
  );
  const payload = Buffer.concat(peer.frames.map((got) => got.subarray(54)));
  t.equal(Buffer.compare(payload, sent.subarray(54)), 0, 'nothing lost or changed');
  t.same(peer.frames.map(tcpSum), [0xffff, 0xffff, 0xffff, 0xffff], 'checksums');
  const rows: readonly (readonly [what: string, header: Uint8Array, frame: Uint8Array])[] = [
    ['TCP that is none', offload(1, 1, 1448), frame(1514)],
    ['the other IP', offload(1, 4, 1448), sent],
    ['a checksum elsewhere', offload(1, 1, 1448, 40), sent],
    ['more segments than anybody takes', offload(1, 1, 8), tcpFrame(65_000)],
  ];
  for (const [what, header, bytes] of rows) {
    const before = card.device.counts(1).drops.header;
    await driver.transmit(bytes, { header });
    t.equal(card.device.counts(1).drops.header, before + 1, what);
  }
  // A stalled peer: what does not fit waits, header and all, and comes in order.
  peer.frames.length = 0;
  peer.socket.pause();
  const large = Buffer.concat([offload(1, 1, 1448), tcpFrame(54 + 14_480)]);
  for (let i = 0; i < 60; i++) {
    driver.chains.offer(1, large, 0);
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(driver.chains.pending > 0, 'some wait');
  peer.socket.resume();
  await until(() => peer.frames.length === 600);
  t.equal(driver.chains.pending, 0);
  t.ok(peer.frames.every((got) => got.byteLength === 54 + 1448 && tcpSum(got) === 0xffff));
  t.equal(card.device.counts(1).drops.port, 0);
  await end();
  peer.socket.destroy();
});

/** 0xffff when the checksum of an IPv4/TCP frame is right. */
function tcpSum(bytes: Buffer): number {
  let sum = 6 + bytes.byteLength - 34;
  for (let at = 26; at < bytes.byteLength; at += 2) {
    sum += at + 1 < bytes.byteLength ? bytes.readUInt16BE(at) : (bytes[at] as number) << 8;
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

t.test('--stream: the peer comes late, leaves and comes back', async (t) => {
  const path = join(temporaryDirectory(t), 'peer');
  const card = await startCard(t, { stream: path });
  const { driver, end } = await card.connect();
  await driver.transmit(frame(60));
  t.equal(card.device.counts(1).drops.port, 1, 'nobody is there');
  driver.post(16, 2048);
  for (let round = 0; round < 2; round++) {
    const { server, peer: connected } = await listen(t, path);
    const peer = await connected;
    await driver.transmit(frame(100 + round));
    await until(() => peer.frames.length === 1);
    peer.send(down(200 + round, 1));
    t.equal((await driver.receive()).frame.byteLength, 200 + round);
    // Half a frame, then gone: nothing of it may reach the next peer or the driver.
    peer.socket.write(length(500));
    peer.socket.write(new Uint8Array(100));
    const closed = new Promise((resolve) => server.close(resolve));
    peer.socket.destroySoon();
    await closed;
    const before = card.device.counts(1).drops.port;
    await until(async () => {
      await driver.transmit(frame(60));
      return card.device.counts(1).drops.port > before;
    });
  }
  await end();
});

t.test('--stream-listen: one peer at a time, lengths that lie (NT-031)', async (t) => {
  const path = join(temporaryDirectory(t), 'ours');
  const card = await startCard(t, { streamListen: path });
  const { driver, end } = await card.connect();
  driver.post(32, 2048);
  for (const lie of [65_551, 65_563, 0x7fff_ffff, 0xffff_ffff]) {
    const peer = new Peer(netConnect(path));
    peer.send(new Uint8Array(0), new Uint8Array(13), down(77, 1));
    t.equal((await driver.receive()).frame.byteLength, 77, 'lengths 0 and 13 are passed over');
    const closed = new Promise((resolve) => peer.socket.once('close', resolve));
    peer.socket.write(length(lie));
    await closed;
    t.pass(`length ${lie} ends the connection`);
  }
  const [first, second] = [new Peer(netConnect(path)), new Peer(netConnect(path))];
  await until(() => !first.socket.connecting && !second.socket.connecting);
  second.send(down(81, 2));
  first.send(down(80, 1));
  t.equal((await driver.receive()).frame.byteLength, 80);
  first.socket.destroy();
  t.equal((await driver.receive()).frame.byteLength, 81, 'the second waited');
  second.socket.destroy();
  t.equal(card.device.counts(0).drops.length, 8);
  await end();
});

t.test(
  '--stream: a peer that reads nothing makes the driver wait, without loss (NT-030)',
  async (t) => {
    const path = join(temporaryDirectory(t), 'peer');
    const { peer: connected } = await listen(t, path);
    const card = await startCard(t, { stream: path });
    const { driver, end } = await card.connect({ memoryBytes: 64 << 20, queueSize: 256 });
    const peer = await connected;
    t.teardown(() => void peer.socket.destroy());
    peer.socket.pause();
    const COUNT = 100;
    const BYTES = 20_000;
    const sent = Array.from({ length: COUNT }, (_, i) => {
      const bytes = Buffer.concat([new Uint8Array(12), frame(BYTES, i)]);
      return driver.chains.offer(1, bytes, 0);
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    t.ok(driver.chains.pending > 0, `${driver.chains.pending} of ${COUNT} wait`);
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { user, system } = process.cpuUsage(before);
    t.ok(user + system < 80_000, `${user + system} us of CPU in 200 ms`);
    peer.socket.resume();
    for (const chain of sent) {
      await driver.chains.returned(chain);
    }
    await until(() => peer.frames.length === COUNT);
    t.ok(
      peer.frames.every((got, i) => Buffer.compare(got, frame(BYTES, i)) === 0),
      'all there, in order',
    );
    // Stopped with frames stalled again.
    peer.socket.pause();
    for (let i = 0; i < COUNT; i++) {
      driver.chains.offer(1, Buffer.concat([new Uint8Array(12), frame(BYTES, i)]), 0);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    await end();
    t.pass('rings stop all the same');
  },
);

t.test(
  '--stream: a driver that posts nothing stalls the peer, without loss (NT-015, NT-016)',
  async (t) => {
    const path = join(temporaryDirectory(t), 'peer');
    const { peer: connected } = await listen(t, path);
    const card = await startCard(t, { stream: path });
    const { driver, end } = await card.connect({ queueSize: 256 });
    const peer = await connected;
    t.teardown(() => void peer.socket.destroy());
    const COUNT = 600;
    for (let i = 0; i < COUNT; i++) {
      peer.send(down(1000, i));
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    driver.post(64, 1100);
    let wrong = 0;
    for (let i = 0; i < COUNT; i++) {
      wrong += Buffer.compare((await driver.receive()).frame, down(1000, i));
      driver.post(1, 1100);
      if (i % 100 === 0) {
        driver.chains.frontend.memory.reset(driver.chains.frontend.memory.mark());
      }
    }
    t.equal(wrong, 0, 'all there, in order');
    await end();
  },
);
