// virtio-vsock for minutes: connections held by the thousand, and opened and closed without pause.
// Seconds unless VHOST_TS_LONG=1; the figures are printed.

import { readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import t from 'tap';
import { VSOCK_RST, VSOCK_RW, VSOCK_SHUTDOWN } from '../../src/testing/index.js';
import { type VsockScene, vsockScene } from '../support/vsock-scene.js';

const LONG = process.env.VHOST_TS_LONG === '1';
const HELD = LONG ? 10_000 : 500;
const HOLD_SECONDS = LONG ? 60 : 1;
const CHURN_SECONDS = LONG ? 120 : 1;
const CHURN_PER_SECOND = 1000;
/** Of the churn, whose memory has a level only after a while. */
const SETTLE_SECONDS = LONG ? 30 : 0;
const STARVED_SECONDS = LONG ? 10 : 1;
/** For what the sockets' buffers had room for. */
const SETTLED_SECONDS = 0.2;
const PORT = 8;
/** For all of them. */
const TIMEOUT_MS = LONG ? 400_000 : 30_000;

t.setTimeout(TIMEOUT_MS);
/** At rest there is nothing to do but the kernel's clock ticks. */
const IDLE_CPU_SHARE_MAX = 0.01;

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/** What the daemon takes of a CPU while nobody wants anything. */
async function idleShare({ daemon }: VsockScene, seconds: number): Promise<number> {
  const before = daemon.cpuSeconds();
  await sleep(seconds);
  return (daemon.cpuSeconds() - before) / seconds;
}

t.test(`${HELD} connections held for ${HOLD_SECONDS} s`, { timeout: TIMEOUT_MS }, async (t) => {
  const scene = await vsockScene(t);
  const idle = scene.daemon.resources().fds;
  const driver = await scene.start(t, { receiveBuffers: 64 });
  let ended = 0;
  await scene.listen(t, PORT, (socket) => {
    socket.on('data', (text) => socket.write(text));
    socket.on('end', () => {
      ended++;
      socket.end();
    });
  });
  const residentBefore = scene.daemon.residentBytes();
  const guests = [];
  for (let i = 0; i < HELD; i++) {
    guests.push(await driver.connect(10_000 + i, PORT));
  }
  const { fds } = scene.daemon.resources();
  t.ok(fds >= HELD + idle, `${fds} descriptors`);
  const share = await idleShare(scene, HOLD_SECONDS);
  const bytes = (scene.daemon.residentBytes() - residentBefore) / HELD;
  t.comment(`${fds} descriptors, ${bytes.toFixed(0)} bytes each, idle CPU ${share.toFixed(4)}`);
  t.ok(share < IDLE_CPU_SHARE_MAX, 'no CPU at rest');

  let echoes = 0;
  for (const guest of guests) {
    await driver.say(guest, VSOCK_RW, 0, Buffer.from(`still ${guest.guestPort}`));
    const { dstPort, payload } = await driver.packetOf(VSOCK_RW);
    echoes += Buffer.from(payload).toString() === `still ${dstPort}` ? 1 : 0;
  }
  t.equal(echoes, HELD, 'each is alive afterwards');
  for (const guest of guests) {
    await driver.say(guest, VSOCK_SHUTDOWN, 3);
    await driver.packetOf(VSOCK_RST);
  }
  while (ended < HELD) {
    await sleep(0.01);
  }
  t.ok(scene.daemon.resources().fds < idle + 30, 'no descriptor is left');
});

t.test(
  `VS-038 ${CHURN_PER_SECOND} connections a second for ${CHURN_SECONDS} s`,
  { timeout: TIMEOUT_MS },
  async (t) => {
    const scene = await vsockScene(t);
    const driver = await scene.start(t);
    let seen = 0;
    let ended = 0;
    await scene.listen(t, PORT, (socket: Socket) => {
      seen++;
      socket.resume();
      socket.on('end', () => socket.end());
      socket.on('close', () => {
        ended++;
      });
    });
    const { fds } = scene.daemon.resources();
    const startMs = performance.now();
    const elapsed = () => (performance.now() - startMs) / 1000;
    let made = 0;
    let residentSettled = 0;
    while (elapsed() < CHURN_SECONDS) {
      const guest = await driver.connect(10_000 + (made % 40_000), PORT);
      await driver.say(guest, VSOCK_SHUTDOWN, 3);
      await driver.packetOf(VSOCK_RST);
      made++;
      if (residentSettled === 0 && elapsed() >= SETTLE_SECONDS) {
        residentSettled = scene.daemon.residentBytes();
      }
      if (made > elapsed() * CHURN_PER_SECOND) {
        await sleep(0.001);
      }
    }
    const rate = made / elapsed();
    for (let i = 0; i < 500 && ended < made; i++) {
      await sleep(0.01);
    }
    t.same([seen, ended], [made, made], 'exactly as many for the host, and all of them over');
    const growth = (scene.daemon.residentBytes() - residentSettled) / 2 ** 20;
    t.comment(
      `${made} connections, ${rate.toFixed(0)} a second, resident +${growth.toFixed(1)} MiB`,
    );
    t.ok(scene.daemon.resources().fds <= fds + 2, 'no descriptor is left');
    t.ok(growth < 16, 'memory has a level');
  },
);

/** How often the threads that serve rings have slept; they are those that sleep in io_uring. */
function ringThreadSleeps(pid: number): number[] {
  const IO_URING_ENTER = '426 ';
  return readdirSync(`/proc/${pid}/task`)
    .map((tid) => `/proc/${pid}/task/${tid}`)
    .filter((thread) => readFileSync(`${thread}/syscall`, 'utf8').startsWith(IO_URING_ENTER))
    .map((thread) => {
      const status = readFileSync(`${thread}/status`, 'utf8');
      return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]);
    });
}

t.test('VS-030 a guest that posts no buffers costs nothing', { timeout: TIMEOUT_MS }, async (t) => {
  const scene = await vsockScene(t);
  const driver = await scene.start(t, { receiveBuffers: 1 });
  const hosts: Socket[] = [];
  await scene.listen(t, PORT, (socket) => void hosts.push(socket));
  for (let i = 0; i < 32; i++) {
    await driver.connect(10_000 + i, PORT);
  }
  driver.stocked = false;
  for (const host of hosts) {
    host.write(Buffer.alloc(1 << 20));
  }
  await driver.packet();
  await sleep(SETTLED_SECONDS);
  const before = ringThreadSleeps(scene.daemon.pid);
  const share = await idleShare(scene, STARVED_SECONDS);
  t.comment(`CPU ${share.toFixed(4)} with ${hosts.length} hosts that have something to say`);
  // After eight seconds without work V8 shrinks its heap, once, in 25 ms of its own threads.
  t.ok(share < IDLE_CPU_SHARE_MAX, 'it waits');
  t.equal(before.length, 1);
  t.same(ringThreadSleeps(scene.daemon.pid), before, 'and is not woken once');
});
