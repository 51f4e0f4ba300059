// virtio-vsock with very many connections, and with many one after another.

import type { Socket } from 'node:net';
import t from 'tap';
import { VSOCK_REQUEST, VSOCK_RST, VSOCK_RW, VSOCK_SHUTDOWN } from '../../src/testing/index.js';
import { until } from '../support/until.js';
import { nextChunk, vsockScene } from '../support/vsock-scene.js';

const CONNECTIONS = 1000;
const PORT = 8;

t.test('1,000 connections at a time, each with bytes of its own', async (t) => {
  const scene = await vsockScene(t);
  const idle = scene.daemon.resources().fds;
  await t.test('the session', async (t) => {
    const driver = await scene.start(t, { receiveBuffers: 64 });
    await scene.listen(t, PORT, (socket) => void socket.on('data', (text) => socket.write(text)));
    const guests = [];
    for (let i = 0; i < CONNECTIONS; i++) {
      guests.push(await driver.connect(10_000 + i, PORT));
    }
    for (const guest of guests) {
      await driver.say(guest, VSOCK_RW, 0, Buffer.from(`from ${guest.guestPort}`));
    }
    let right = 0;
    for (let i = 0; i < CONNECTIONS; i++) {
      const { dstPort, payload } = await driver.packetOf(VSOCK_RW);
      right += Buffer.from(payload).toString() === `from ${dstPort}` ? 1 : 0;
    }
    t.equal(right, CONNECTIONS, 'echoes');
    for (const guest of guests) {
      await driver.say(guest, VSOCK_SHUTDOWN, 3);
    }
    let resets = 0;
    while (resets < CONNECTIONS) {
      resets += (await driver.packet()).op === VSOCK_RST ? 1 : 0;
    }
    t.ok(scene.daemon.resources().fds < idle + 30, 'no descriptor is left');
  });
});

t.test('VS-038 VS-039 VS-035 2,000 connections one after another', async (t) => {
  const scene = await vsockScene(t);
  const driver = await scene.start(t);
  let seen = 0;
  await scene.listen(t, PORT, (socket: Socket) => {
    seen++;
    socket.resume();
    socket.on('end', () => socket.end());
  });
  const before = scene.daemon.resources().fds;
  for (let i = 0; i < 2000; i++) {
    // The same port again, as soon as RST has freed it.
    const guest = await driver.connect(5000, PORT);
    await driver.say(guest, VSOCK_SHUTDOWN, 3);
    await driver.packetOf(VSOCK_RST);
  }
  // The last of them may wait to be accepted.
  await until(() => seen >= 2000);
  t.equal(seen, 2000, 'exactly as many for the host');
  t.ok(scene.daemon.resources().fds <= before + 2);
});

t.test('VS-027 a flood does not keep its neighbours waiting', async (t) => {
  const NEIGHBOURS = 8;
  const scene = await vsockScene(t);
  const driver = await scene.start(t);
  const loud = scene.connect(t, 'CONNECT 1\n');
  const flood = await driver.accept();
  await nextChunk(loud);
  const quiet = [];
  for (let i = 0; i < NEIGHBOURS; i++) {
    const socket = scene.connect(t, `CONNECT ${2 + i}\n`);
    quiet.push({ socket, guest: await driver.accept() });
    await nextChunk(socket);
  }
  loud.write(Buffer.alloc(16 << 20));
  for (let round = 0; round < 4; round++) {
    for (const { socket } of quiet) {
      socket.write('psst');
    }
    const waiting = new Set(quiet.map(({ guest }) => guest.hostPort));
    let floodBytes = 0;
    while (waiting.size > 0) {
      const packet = await driver.packetOf(VSOCK_RW);
      if (packet.srcPort === flood.hostPort) {
        floodBytes += packet.length;
        await driver.giveCredit(flood);
      }
      waiting.delete(packet.srcPort);
    }
    // The host program, this process, is slower than the device: what came before it wrote counts.
    t.ok(floodBytes < 1 << 20, `round ${round}: ${floodBytes} bytes of the flood came first`);
  }
});

t.test('VS-011 REQUESTs to nobody, 20,000 of them', async (t) => {
  const scene = await vsockScene(t);
  const driver = await scene.start(t);
  await scene.listen(t, PORT, (socket) => void socket.on('data', (text) => socket.write(text)));
  const live = await driver.connect(1, PORT);
  let answers = 0;
  for (let i = 0; i < 20_000; i += 100) {
    for (let k = 0; k < 100; k++) {
      await driver.post({ srcPort: 2 + i + k, dstPort: 99, op: VSOCK_REQUEST });
    }
    for (let k = 0; k < 100; k++) {
      answers += (await driver.packet()).op === VSOCK_RST ? 1 : 0;
    }
  }
  t.equal(answers, 20_000);
  await driver.send(live, Buffer.from('alive'));
  t.equal(String(Buffer.from(await driver.receive(live, 5))), 'alive');
});
