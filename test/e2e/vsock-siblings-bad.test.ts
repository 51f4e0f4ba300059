// A guest that does what it should not to another guest of the daemon: bad-inputs.md, VS. Whoever does
// it hears RST, the other an ordinary end, and both go on.

import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import {
  type GuestSocket,
  VSOCK_CREDIT_REQUEST,
  VSOCK_CREDIT_UPDATE,
  VSOCK_REQUEST,
  VSOCK_RESPONSE,
  VSOCK_RST,
  VSOCK_RW,
  VSOCK_SEQPACKET,
  VSOCK_SHUTDOWN,
  VSOCK_STREAM,
  type VsockDriver,
} from '../../src/testing/index.js';
import { left, SIBLING_PORT as PORT, pair, siblingScene } from '../support/sibling-scene.js';

const [A, B] = [3, 4];
const EOM = 1;
const scene = await siblingScene(t, { [A]: 'a', [B]: 'a' });
// Its workers open descriptors of their own after the sockets are there.
await new Promise((resolve) => setTimeout(resolve, 500));
const idleFds = scene.daemon.resources().fds;

/** Both guests, for as long as the test. */
async function guests(t: Test, bufAlloc = 262_144): Promise<[VsockDriver, VsockDriver]> {
  return [await scene.guest(t, A), await scene.guest(t, B, { bufAlloc })];
}

async function rst(driver: VsockDriver, port: number): Promise<boolean> {
  const { dstPort, srcCid } = await driver.packetOf(VSOCK_RST);
  return dstPort === port && srcCid === BigInt(driver.guestCid === A ? B : A);
}

t.test('VS-002 VS-003 VS-004 VS-010 VS-013 VS-014 what ends a connection', async (t) => {
  const [a, b] = await guests(t);
  const rows: [string, (socket: GuestSocket) => Promise<void>][] = [
    ['another type', (s) => say(s, { op: VSOCK_RW, type: VSOCK_SEQPACKET })],
    ['op 99', (s) => say(s, { op: 99 })],
    ['len beyond the chain', (s) => say(s, { op: VSOCK_RW, length: 11 }, Buffer.alloc(10))],
    ['REQUEST again', (s) => say(s, { op: VSOCK_REQUEST })],
    ['RESPONSE to nothing', (s) => say(s, { op: VSOCK_RESPONSE })],
    [
      'data after SHUTDOWN',
      async (s) => {
        await say(s, { op: VSOCK_SHUTDOWN, flags: 2 });
        await say(s, { op: VSOCK_RW }, Buffer.alloc(10));
      },
    ],
  ];
  const say = ({ guestPort: srcPort }: GuestSocket, fields: object, payload?: Uint8Array) =>
    a.post({ dstCid: BigInt(B), srcPort, dstPort: PORT, ...fields }, payload);
  for (const [i, [what, act]] of rows.entries()) {
    const { ours, theirs } = await pair(a, b, 6000 + i);
    await act(ours);
    t.ok(await rst(a, ours.guestPort), what);
    await left(b, theirs);
  }
  const { ours, theirs } = await pair(a, b, 7000);
  // B's kernel knows the pair of ports already, whichever side asked for it.
  await b.post({ dstCid: BigInt(A), srcPort: PORT, dstPort: 7000, op: VSOCK_REQUEST });
  t.ok(await rst(b, theirs.guestPort), 'REQUEST for the same ports, from the other side');
  await left(a, ours);
});

t.test('VS-012 packets for no connection', async (t) => {
  const [a, b] = await guests(t);
  const packet = { dstCid: BigInt(B), srcPort: 9, dstPort: 9 };
  for (const op of [VSOCK_RESPONSE, VSOCK_RW, VSOCK_SHUTDOWN, VSOCK_CREDIT_UPDATE, 7, 0]) {
    await a.post({ ...packet, op });
    t.ok(await rst(a, 9), `op ${op}`);
  }
  await a.post({ ...packet, op: VSOCK_RST });
  t.equal(await a.packetWithin(50), undefined, 'an RST has no answer');
  t.equal(await b.packetWithin(50), undefined, 'the other hears of none');
});

t.test('VS-013 data before RESPONSE', async (t) => {
  const [a, b] = await guests(t);
  const socket = a.socket(5000, PORT, VSOCK_STREAM, B);
  await a.say(socket, VSOCK_REQUEST);
  const request = await b.packetOf(VSOCK_REQUEST);
  await a.say(socket, VSOCK_RW, 0, Buffer.from('too early'));
  t.ok(await rst(a, 5000));
  t.ok(await rst(b, request.dstPort), 'its request is taken back');
  await b.post({ dstCid: BigInt(A), srcPort: PORT, dstPort: 5000, op: VSOCK_RESPONSE });
  t.ok(await rst(b, PORT), 'a RESPONSE comes too late');
});

t.test('VS-020 VS-027 a guest that does not read: credit, then RST, others go on', async (t) => {
  const [a, b] = await guests(t, 4096);
  const { ours, theirs } = await pair(a, b, 5000);
  const part = Buffer.alloc(65_536, 7);
  let total = 0;
  for (;;) {
    const free = ours.peerBufAlloc - (ours.sent - ours.peerFwdCnt);
    if (free < part.byteLength && (await a.packetWithin(200)) === undefined) break;
    if (free >= part.byteLength) {
      await a.say(ours, VSOCK_RW, 0, part);
      total += part.byteLength;
    }
  }
  t.ok(total >= 262_144 && total < 2 << 20, `${total} bytes were taken`);
  const live = await pair(a, b, 5001);
  await a.send(live.ours, Buffer.from('live'));
  t.equal(String(Buffer.from(await b.receive(live.theirs, 4))), 'live');
  t.ok(theirs.received <= 4096, 'not a byte beyond what it gave');
  for (let i = 0; i < 5; i++) {
    await a.say(ours, VSOCK_RW, 0, part);
  }
  t.ok(await rst(a, 5000), 'beyond its credit');
});

t.test('VS-027 a slow reader gets every byte once', async (t) => {
  const [a, b] = await guests(t, 5000);
  const { ours, theirs } = await pair(a, b, 5000);
  const bytes = randomBytes(600_000);
  const sent = a.send(ours, bytes);
  t.ok(bytes.equals(await b.receive(theirs, bytes.byteLength)));
  await sent;
});

t.test('VS-021 VS-022 VS-023 VS-024 credit of the other guest', async (t) => {
  const [a, b] = await guests(t, 0);
  const { ours, theirs } = await pair(a, b, 5000);
  await a.send(ours, Buffer.from('waiting'));
  t.equal((await b.packet()).op, VSOCK_CREDIT_REQUEST, 'asked once');
  t.equal(await b.packetWithin(100), undefined, 'nothing without credit, no flood');
  const update = { dstCid: BigInt(A), srcPort: PORT, dstPort: 5000, op: VSOCK_CREDIT_UPDATE };
  await b.post({ ...update, bufAlloc: 3 });
  t.equal(String(Buffer.from((await b.packetOf(VSOCK_RW)).payload)), 'wai');
  await b.post({ ...update, bufAlloc: 2 });
  t.equal((await b.packetWithin(100))?.op ?? 0, VSOCK_CREDIT_REQUEST, 'less than is out');
  await b.post({ ...update, bufAlloc: 3, fwdCnt: 1000 });
  t.equal(await b.packetWithin(100), undefined, 'a count beyond what was sent');
  await b.post({ ...update, bufAlloc: 0xffff_ffff, fwdCnt: 3 });
  t.equal(String(Buffer.from((await b.packetOf(VSOCK_RW)).payload)), 'ting');
  t.equal(theirs.received, 7);
});

t.test('VS-030 a guest that never answers', async (t) => {
  const [a, b] = await guests(t);
  await a.say(a.socket(5000, PORT, VSOCK_STREAM, B), VSOCK_REQUEST);
  await b.packetOf(VSOCK_REQUEST);
  t.ok(await rst(a, 5000), 'who asked hears of it');
  t.ok(await rst(b, PORT), 'and who did not answer');
});

t.test('VS-040 a message larger than the other takes', async (t) => {
  const [a, b] = await guests(t, 1000);
  const { ours } = await pair(a, b, 5000, VSOCK_SEQPACKET);
  await a.say(ours, VSOCK_RW, EOM, Buffer.alloc(1001));
  t.ok(await rst(b, PORT));
  await left(a, ours);
});

t.test('VS-041 ports 0 and 2^32 - 1', async (t) => {
  const [a, b] = await guests(t);
  const [ours, theirs] = await Promise.all([
    a.connect(0xffff_ffff, 0, VSOCK_STREAM, B),
    b.accept(),
  ]);
  t.match(theirs, { guestPort: 0, hostPort: 0xffff_ffff });
  await a.send(ours, Buffer.from('far'));
  t.equal(String(Buffer.from(await b.receive(theirs, 3))), 'far');
});

t.test('nothing is left of all this', async (t) => {
  for (let i = 0; i < 200 && scene.daemon.resources().fds > idleFds + 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.ok(scene.daemon.resources().fds <= idleFds + 2, 'descriptors are back');
});
