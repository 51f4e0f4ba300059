// Several guests in one daemon: by CID within a group, nothing across groups.

import { randomBytes } from 'node:crypto';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import {
  type GuestSocket,
  VSOCK_REQUEST,
  VSOCK_RST,
  VSOCK_RW,
  VSOCK_SEQPACKET,
  VSOCK_SHUTDOWN,
  VSOCK_STREAM,
  type VsockDriver,
} from '../../src/testing/index.js';
import { until } from '../support/resources.js';
import {
  left,
  SIBLING_PORT as PORT,
  pair,
  SHUTDOWN_BOTH,
  siblingScene,
} from '../support/sibling-scene.js';

const SEND = 2;
const EOM = 1;
const EOR = 2;
const HOST = 2;

const { daemon, directory, guest } = await siblingScene(
  t,
  { 3: 'a', 4: 'a+b', 5: 'b', 6: '' },
  (directory) => [
    ...['--forward', '7=exec:exec cat', '--forward', '4:8=exec:exec cat'],
    ...['--listen', `unix:${join(directory, 'to-3')}=3:${PORT}`],
    ...['--listen', `unix:${join(directory, 'to-4')}=4:${PORT}`],
  ],
);

async function refused(driver: VsockDriver, peerCid: number): Promise<boolean> {
  const socket = driver.socket(9000 + peerCid, PORT, VSOCK_STREAM, peerCid);
  await driver.say(socket, VSOCK_REQUEST);
  const { op, srcCid, srcPort, dstPort } = await driver.packet();
  return (
    op === VSOCK_RST &&
    srcCid === BigInt(peerCid) &&
    srcPort === PORT &&
    dstPort === socket.guestPort
  );
}

async function shutDown(driver: VsockDriver, socket: GuestSocket): Promise<void> {
  await driver.say(socket, VSOCK_SHUTDOWN, SHUTDOWN_BOTH);
  await driver.packetOf(VSOCK_RST);
}

t.test('a stream between two guests', async (t) => {
  const [a, b] = [await guest(t, 3), await guest(t, 4)];
  const fds = daemon.resources().fds;
  const { ours, theirs } = await pair(a, b, 5000);
  t.match(theirs, { peerCid: 3, hostPort: 5000, guestPort: PORT }, 'who it is');
  const bytes = randomBytes(400_000);
  const [, got] = await Promise.all([a.send(ours, bytes), b.receive(theirs, bytes.byteLength)]);
  t.ok(bytes.equals(got));
  await b.send(theirs, Buffer.from('back'));
  t.equal(String(Buffer.from(await a.receive(ours, 4))), 'back');
  await a.say(ours, VSOCK_SHUTDOWN, SEND);
  t.match(await b.packetOf(VSOCK_SHUTDOWN), { flags: SEND }, 'VS-034 half-close');
  await b.send(theirs, Buffer.from('more'));
  t.equal(String(Buffer.from(await a.receive(ours, 4))), 'more');
  await shutDown(b, theirs);
  await left(a, ours);
  await until('nothing is left', () => daemon.resources().fds <= fds);
});

t.test('messages between two guests', async (t) => {
  const [a, b] = [await guest(t, 4), await guest(t, 5)];
  const { ours } = await pair(a, b, 5000, VSOCK_SEQPACKET);
  for (const [text, flags] of [
    ['one', EOM],
    ['end of a record', EOM | EOR],
    ['another', EOM],
  ] as const) {
    await a.say(ours, VSOCK_RW, flags, Buffer.from(text));
    t.match(await b.packetOf(VSOCK_RW), { flags, payload: Buffer.from(text) });
  }
  await a.say(ours, VSOCK_RW, EOM | EOR);
  await a.say(ours, VSOCK_RW, EOM, Buffer.from('behind an empty one'));
  t.match(await b.packetOf(VSOCK_RW), { flags: EOM, payload: Buffer.from('behind an empty one') });
  await a.say(ours, VSOCK_SHUTDOWN, SEND);
  t.match(await b.packetOf(VSOCK_SHUTDOWN), { flags: SEND }, 'and the end is one');
});

t.test('VS-042 VS-001 nothing across groups, and nobody else', async (t) => {
  const [a, b, c, alone] = [
    await guest(t, 3),
    await guest(t, 4),
    await guest(t, 5),
    await guest(t, 6),
  ];
  t.ok(await refused(a, 5), 'of no group in common');
  t.ok(await refused(alone, 3), 'of no group at all');
  t.ok(await refused(a, 3), 'itself');
  t.ok(await refused(a, 99), 'nobody');
  const spoofed = { srcCid: 5n, dstCid: 4n, srcPort: 1, dstPort: PORT, op: VSOCK_REQUEST };
  await a.post(spoofed);
  t.equal((await a.packet()).op, VSOCK_RST, 'in the name of another');
  for (const other of [b, c]) {
    t.equal(await other.packetWithin(50), undefined, 'they heard nothing of it');
  }
});

t.test('VS-042 the same ports with another guest and with the host', async (t) => {
  const [a, b, c] = [await guest(t, 3), await guest(t, 4), await guest(t, 5)];
  const first = await pair(a, b, 5000);
  const second = await pair(c, b, 5000);
  const host = await b.connect(PORT, 7);
  const third = await b.connect(PORT, 5000, VSOCK_STREAM, HOST).catch(() => undefined);
  t.equal(third, undefined, 'the host has no port 5000');
  await a.send(first.ours, Buffer.from('from a'));
  t.match(await b.packetOf(VSOCK_RW), { srcCid: 3n, payload: Buffer.from('from a') });
  await c.send(second.ours, Buffer.from('from c'));
  t.match(await b.packetOf(VSOCK_RW), { srcCid: 5n, payload: Buffer.from('from c') });
  await b.send(host, Buffer.from('to the host'));
  t.match(await b.packetOf(VSOCK_RW), { srcCid: 2n, payload: Buffer.from('to the host') });
});

t.test('each listener has its guest, and a port may lead out of one guest only', async (t) => {
  const [a, b] = [await guest(t, 3), await guest(t, 4)];
  for (const [driver, name] of [
    [a, 'to-3'],
    [b, 'to-4'],
  ] as const) {
    const host = createConnection(join(directory, name));
    t.teardown(() => host.destroy());
    const accepted = await driver.accept();
    t.match(accepted, { peerCid: HOST, guestPort: PORT });
    host.write(name);
    t.equal(String(Buffer.from(await driver.receive(accepted, 4))), name);
  }
  const echo = await b.connect(5100, 8);
  await b.send(echo, Buffer.from('echo'));
  t.equal(String(Buffer.from(await b.receive(echo, 4))), 'echo');
  await t.rejects(a.connect(5100, 8), 'not of the other');
});

t.test(
  'VS-030 VS-031 VS-036 guests that refuse, are silent, leave, or are not there',
  async (t) => {
    const a = await guest(t, 3);
    await t.test('there for a while', async (t) => {
      const b = await guest(t, 4);
      const socket = a.socket(5000, PORT, VSOCK_STREAM, 4);
      await a.say(socket, VSOCK_REQUEST);
      const request = await b.packetOf(VSOCK_REQUEST);
      const answer = { dstCid: 3n, srcPort: request.dstPort, dstPort: request.srcPort };
      await b.post({ ...answer, op: VSOCK_RST });
      t.equal((await a.packet()).op, VSOCK_RST, 'refused');
      const live = await pair(a, b, 5001);
      await a.say(live.ours, VSOCK_RST);
      await left(b, live.theirs);
      t.pass('reset');
      await pair(a, b, 5002);
    });
    t.match(await a.packetOf(VSOCK_SHUTDOWN), { dstPort: 5002 }, 'it has left');
    await a.packetOf(VSOCK_RST);
    const nobody = a.socket(5003, PORT, VSOCK_STREAM, 4);
    await a.say(nobody, VSOCK_REQUEST);
    t.match(await a.packetOf(VSOCK_RST), { dstPort: 5003 }, 'not there');
    t.ok(await guest(t, 4), 'and it may come again');
  },
);
