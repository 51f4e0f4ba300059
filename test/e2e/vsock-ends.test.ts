// --forward and --listen of `vhost-ts vsock`: TCP, UNIX sockets and programs behind ports of the
// host's, ports of the guest's behind listeners of the host's. One daemon for all of it.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { check, native } from '../../src/native/index.js';
import {
  type GuestSocket,
  VSOCK_CREDIT_UPDATE,
  VSOCK_REQUEST,
  VSOCK_RESPONSE,
  VSOCK_RST,
  VSOCK_RW,
  VSOCK_SEQPACKET,
  VSOCK_SHUTDOWN,
  type VsockDriver,
} from '../../src/testing/index.js';
import { freePort } from '../support/free-port.js';
import { temporaryDirectory, until } from '../support/resources.js';
import { nextChunk, toEnd, vsockScene } from '../support/vsock-scene.js';

const SEND = 2;
const BOTH = 3;
const EOM = 1;
/** Sooner than SIGKILL would come. */
const SIGKILL_MS = 1500;

const directory = temporaryDirectory(t);
const echo = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.pipe(socket);
});
await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
const echoPort = (echo.address() as AddressInfo).port;
const nobody = await freePort();
const listenPort = await freePort();
/** Takes two connections and then no more: the next is neither accepted nor refused. */
const fullPort = await freePort();
const full = check('listen', native.hostListenTcp('127.0.0.1', fullPort, 1));
t.teardown(() => {
  echo.close();
  native.fdClose(full);
});

const ENDS = {
  '100': `tcp:127.0.0.1:${echoPort}`,
  '101': `tcp:localhost:${echoPort}`,
  '102': `tcp:127.0.0.1:${nobody}`,
  '103': `tcp:127.0.0.1:${fullPort}`,
  '104': 'tcp:no-such-name.invalid:80',
  '110': `unix:${join(directory, 'u')}`,
  '120': 'exec:exec cat',
  '121': 'exec:wc -c',
  '122': 'exec:echo $$; sleep 100',
  '123': 'exec:/does/not/exist',
  '124': 'exec:printf bye; exit 3',
};
const scene = await vsockScene(t, [
  ...Object.entries(ENDS).flatMap(([port, to]) => ['--forward', `${port}=${to}`]),
  '--listen',
  `tcp:127.0.0.1:${listenPort}=22`,
  '--listen',
  `unix:${join(directory, 'l')}=23`,
]);

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Processes the daemon has started and not taken. */
function children(): string[] {
  const { pid } = scene.daemon;
  return readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' '))
    .filter((child) => child !== '');
}

async function echoes(driver: VsockDriver, guest: GuestSocket, what: string): Promise<boolean> {
  await driver.send(guest, Buffer.from(what));
  return text(await driver.receive(guest, what.length)) === what;
}

async function refused(driver: VsockDriver, guestPort: number, hostPort: number, type = 1) {
  await driver.say(driver.socket(guestPort, hostPort, type), VSOCK_REQUEST);
  const { op, dstPort } = await driver.packet();
  return op === VSOCK_RST && dstPort === guestPort;
}

t.test('TCP: an echo, by address and by name', async (t) => {
  const driver = await scene.start(t, { receiveBytes: 65_536 + 44 });
  t.ok(await echoes(driver, await driver.connect(5000, 100), 'hello'));
  // The name may still be being looked up.
  let named: GuestSocket | undefined;
  for (let i = 0; named === undefined && i < 500; i++) {
    named = await driver.connect(5001, 101).catch(() => undefined);
  }
  t.ok(await echoes(driver, named as GuestSocket, 'hello by name'));
  const bytes = randomBytes(1 << 20);
  const guest = await driver.connect(5002, 100);
  const got = await both(driver, guest, bytes);
  t.equal(sha(got), sha(bytes), 'a megabyte, there and back');
});

/** Sends and receives at a time: an echo that is not read takes nothing more. */
async function both(driver: VsockDriver, guest: GuestSocket, bytes: Uint8Array) {
  const got = new Uint8Array(bytes.byteLength);
  const part = 65_536;
  for (let at = 0; at < bytes.byteLength; at += part) {
    await driver.send(guest, bytes.subarray(at, at + part));
    got.set(await driver.receive(guest, part), at);
  }
  return got;
}

t.test('VS-031 VS-002 who refuses, is not there, or has no name', async (t) => {
  const driver = await scene.start(t);
  t.ok(await refused(driver, 5000, 102), 'TCP, nobody listens');
  t.ok(await refused(driver, 5001, 104), 'a name that is none');
  t.ok(await refused(driver, 5002, 110), 'no UNIX socket');
  t.ok(await refused(driver, 5003, 100, VSOCK_SEQPACKET), 'TCP has no messages');
  t.ok(await refused(driver, 5004, 99), 'a port nobody speaks for');
});

t.test('VS-010 VS-013 VS-030 a TCP peer that does not answer', async (t) => {
  const driver = await scene.start(t);
  for (let i = 0; i < 2; i++) {
    const filler = createConnection(fullPort, '127.0.0.1');
    t.teardown(() => filler.destroy());
    await once(filler, 'connect');
  }
  const rows: readonly (readonly [string, number, number])[] = [
    ['REQUEST again', VSOCK_REQUEST, VSOCK_RST],
    ['data before RESPONSE', VSOCK_RW, VSOCK_RST],
    ['credit before RESPONSE', VSOCK_CREDIT_UPDATE, VSOCK_RST],
  ];
  const fds = scene.daemon.resources().fds;
  let port = 5000;
  for (const [what, op, expected] of rows) {
    const guest = driver.socket(++port, 103);
    await driver.say(guest, VSOCK_REQUEST);
    t.equal(await driver.packetWithin(50), undefined, 'no answer yet');
    await driver.say(guest, op);
    t.match(await driver.packet(), { op: expected, dstPort: port }, what);
  }
  const left = driver.socket(++port, 103);
  await driver.say(left, VSOCK_REQUEST);
  await driver.say(left, VSOCK_RST);
  t.equal(await driver.packetWithin(50), undefined, 'RST takes it back without a word');
  await until('nothing is left of them', () => scene.daemon.resources().fds <= fds);
  const last = driver.socket(++port, 103);
  await driver.say(last, VSOCK_REQUEST);
  t.match(await driver.packet(4000), { op: VSOCK_RST, dstPort: port }, 'after two seconds');
  t.ok(await echoes(driver, await driver.connect(++port, 120), 'others are served'));
});

t.test('a UNIX socket', async (t) => {
  const driver = await scene.start(t);
  const server = createServer((socket) => socket.end('from the path'));
  await new Promise<void>((resolve) => server.listen(join(directory, 'u'), resolve));
  const guest = await driver.connect(5000, 110);
  t.equal(text(await driver.receive(guest, 13)), 'from the path');
  await driver.say(guest, VSOCK_SHUTDOWN, BOTH);
  await new Promise((resolve) => server.close(resolve));
});

t.test('a program for each connection', async (t) => {
  const driver = await scene.start(t, { receiveBytes: 65_536 + 44 });
  const guests = [];
  for (let i = 0; i < 40; i++) {
    guests.push(await driver.connect(5000 + i, 120));
  }
  t.equal(children().length, 40);
  for (const guest of guests.reverse()) {
    t.ok(await echoes(driver, guest, `guest ${guest.guestPort}`));
  }
  for (const guest of guests) {
    await driver.say(guest, VSOCK_SHUTDOWN, BOTH);
    await driver.packetOf(VSOCK_RST);
  }
  await until('all programs have ended', () => children().length === 0);
});

t.test('VS-034 a program that reads to the end, then answers', async (t) => {
  const driver = await scene.start(t);
  const guest = await driver.connect(5000, 121);
  await driver.send(guest, Buffer.alloc(100_000));
  await driver.say(guest, VSOCK_SHUTDOWN, SEND);
  t.equal(text(await driver.receive(guest, 7)), '100000\n');
  await ended(driver, guest);
  await until('it has ended', () => children().length === 0);
});

t.test('programs that end by themselves', async (t) => {
  const driver = await scene.start(t);
  const guest = await driver.connect(5000, 124);
  t.equal(text(await driver.receive(guest, 3)), 'bye');
  await ended(driver, guest);
  const none = await driver.connect(5001, 123);
  await ended(driver, none);
  await until('they have ended', () => children().length === 0);
});

t.test('a program is ended when the guest resets, and with all of them', async (t) => {
  await t.test('RST', async (t) => {
    const driver = await scene.start(t);
    const guest = await driver.connect(5000, 122);
    const { payload } = await driver.packetOf(VSOCK_RW);
    const pid = text(payload).trim();
    t.ok(existsSync(`/proc/${pid}`));
    await driver.say(guest, VSOCK_RST);
    await until('it is gone', () => !existsSync(`/proc/${pid}`), SIGKILL_MS);
    await driver.connect(5001, 122);
    t.equal(children().length, 1);
  });
  await until('the guest left', () => children().length === 0);
});

t.test('messages keep their bounds on the way to a program and back', async (t) => {
  const driver = await scene.start(t);
  const guest = await driver.connect(5000, 120, VSOCK_SEQPACKET);
  for (const message of ['one', 'second']) {
    await driver.say(guest, VSOCK_RW, EOM, Buffer.from(message));
    t.match(await driver.packetOf(VSOCK_RW), { flags: EOM, payload: Buffer.from(message) });
  }
});

/** The program has ended and let go: that may be seen one after the other. */
async function ended(driver: VsockDriver, guest: GuestSocket): Promise<void> {
  let flags = 0;
  while (flags !== BOTH) {
    const packet = await driver.packetOf(VSOCK_SHUTDOWN);
    flags = packet.dstPort === guest.guestPort ? packet.flags : 0;
  }
  await driver.say(guest, VSOCK_RST);
}

async function through(t: Test, driver: VsockDriver, socket: Socket, port: number) {
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  socket.write('early');
  const guest = await driver.accept();
  t.equal(guest.guestPort, port);
  t.equal(text(await driver.receive(guest, 5)), 'early', 'nothing is said before it');
  await driver.send(guest, Buffer.from('answer'));
  t.equal(await nextChunk(socket), 'answer');
  const all = toEnd(socket);
  socket.end('the last');
  t.equal(text(await driver.receive(guest, 8)), 'the last');
  t.match(await driver.packetOf(VSOCK_SHUTDOWN), { flags: SEND });
  await driver.send(guest, Buffer.from('after that'));
  await driver.say(guest, VSOCK_SHUTDOWN, BOTH);
  t.equal(text(await all), 'after that');
}

t.test('VS-034 --listen: host programs reach the guest', async (t) => {
  const driver = await scene.start(t);
  const tcp = { port: listenPort, host: '127.0.0.1', allowHalfOpen: true };
  await through(t, driver, createConnection(tcp), 22);
  const unix = { path: join(directory, 'l'), allowHalfOpen: true };
  await through(t, driver, createConnection(unix), 23);
});

t.test('VS-030 VS-032 --listen: a guest that refuses, is silent, or is not there', async (t) => {
  const closed = (socket: Socket) =>
    new Promise((resolve) =>
      socket
        .on('error', () => {})
        .once('close', resolve)
        .resume(),
    );
  const connect = () => createConnection(listenPort, '127.0.0.1');
  await closed(connect());
  t.pass('no guest');
  const driver = await scene.start(t);
  const refusedOne = closed(connect());
  const request = await driver.packetOf(VSOCK_REQUEST);
  const address = { srcPort: request.dstPort, dstPort: request.srcPort };
  await driver.post({ ...address, op: VSOCK_RST });
  await refusedOne;
  t.pass('refused');
  await closed(connect());
  t.match(await driver.packetOf(VSOCK_RST), { dstPort: 22 }, 'silent for two seconds');
  const late = await driver.packetWithin(50);
  t.equal(late, undefined);
  await driver.post({ ...address, op: VSOCK_RESPONSE });
  t.equal((await driver.packet()).op, VSOCK_RST, 'an answer that comes too late');
});
