// virtio-vsock against a guest, and host programs, that do what they should not: bad-inputs.md, VS.
// One daemon for all: whatever one test does, the next finds it at work and without leftovers.

import { createConnection, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import {
  VSOCK_CREDIT_REQUEST,
  VSOCK_CREDIT_UPDATE,
  VSOCK_REQUEST,
  VSOCK_RESPONSE,
  VSOCK_RST,
  VSOCK_RW,
  VSOCK_SEQPACKET,
  VSOCK_SHUTDOWN,
  type VsockDriver,
} from '../../src/testing/index.js';
import { nextChunk, toEnd, vsockScene } from '../support/vsock-scene.js';

const scene = await vsockScene(t);
/** What the daemon has open with no guest; settles a moment after a session. */
// Its worker opens descriptors of its own after the socket is there.
await new Promise((resolve) => setTimeout(resolve, 500));
const idleFds = scene.daemon.resources().fds;
const PORT = 77;

async function settled(t: Test): Promise<void> {
  for (let i = 0; i < 200 && scene.daemon.resources().fds > idleFds + 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.ok(scene.daemon.resources().fds <= idleFds + 2, 'descriptors are back');
}

/** A guest's socket, and the host's it is connected to. */
async function pair(t: Test, driver: VsockDriver, guestPort = 5000) {
  const host = new Promise<Socket>((resolve) => void scene.listen(t, PORT, resolve));
  const guest = await driver.connect(guestPort, PORT);
  return { guest, host: await host };
}

async function expectRst(t: Test, driver: VsockDriver, guestPort: number, what: string) {
  const packet = await driver.packetOf(VSOCK_RST);
  t.equal(packet.dstPort, guestPort, what);
}

t.test('VS-001 VS-002 VS-003 packets that belong to nobody', async (t) => {
  const driver = await scene.start(t);
  const rows = [
    { what: 'src_cid of another', srcCid: 43n },
    { what: 'src_cid with high bits', srcCid: (1n << 32n) + 42n },
    { what: 'dst_cid 0', dstCid: 0n },
    { what: 'dst_cid 1', dstCid: 1n },
    { what: 'dst_cid its own', dstCid: 42n },
    { what: 'dst_cid any', dstCid: 0xffff_ffffn },
    { what: 'dst_cid with high bits', dstCid: (7n << 32n) + 2n },
    { what: 'type 0', type: 0 },
    { what: 'type 3', type: 3 },
    { what: 'op 0', op: 0 },
    { what: 'op 8', op: 8 },
    { what: 'op 65535', op: 65_535 },
  ];
  for (const { what, ...fields } of rows) {
    await driver.post({ srcPort: 1, dstPort: 2, op: VSOCK_REQUEST, ...fields });
    const { op, dstCid, srcCid, dstPort, srcPort } = await driver.packet();
    t.equal(op, VSOCK_RST, what);
    t.same([dstPort, srcPort], [1, 2], 'ports turned round');
    t.same([dstCid, srcCid], [fields.srcCid ?? 42n, fields.dstCid ?? 2n], 'CIDs turned round');
    await driver.post({ srcPort: 1, dstPort: 2, ...fields, op: VSOCK_RST });
  }
  t.equal(await driver.packetWithin(100), undefined, 'an RST has no answer');
});

t.test('VS-002 seqpacket that was not negotiated', async (t) => {
  const driver = await scene.start(t, {}, { withoutFeatures: 1n << 1n });
  await driver.post({ srcPort: 1, dstPort: 2, op: VSOCK_REQUEST, type: VSOCK_SEQPACKET });
  const { op, type } = await driver.packet();
  t.same([op, type], [VSOCK_RST, VSOCK_SEQPACKET]);
});

t.test('VS-004 VS-005 VS-010 VS-013 VS-014 VS-020 what ends a connection', async (t) => {
  const driver = await scene.start(t);
  const server = scene.listen(t, PORT, (socket) => socket.resume());
  await server;
  const big = Buffer.alloc(65_000);
  const rows: [string, (port: number) => Promise<void>][] = [
    ['len beyond the chain', (p) => say(p, { op: VSOCK_RW, length: 11 }, Buffer.alloc(10))],
    ['len of 4 GiB', (p) => say(p, { op: VSOCK_RW, length: 0xffff_ffff }, Buffer.alloc(10))],
    ['REQUEST again', (p) => say(p, { op: VSOCK_REQUEST })],
    ['RESPONSE to nothing', (p) => say(p, { op: VSOCK_RESPONSE })],
    ['another type', (p) => say(p, { op: VSOCK_RW, type: VSOCK_SEQPACKET })],
    ['op 99', (p) => say(p, { op: 99 })],
    [
      'data after SHUTDOWN',
      async (p) => {
        await say(p, { op: VSOCK_SHUTDOWN, flags: 2 });
        await say(p, { op: VSOCK_RW }, big);
      },
    ],
    ['SHUTDOWN of both', (p) => say(p, { op: VSOCK_SHUTDOWN, flags: 0xffff_ffff })],
  ];
  const say = (srcPort: number, fields: object, payload?: Uint8Array) =>
    driver.post({ srcPort, dstPort: PORT, ...fields }, payload);
  let port = 6000;
  for (const [what, act] of rows) {
    await driver.connect(port, PORT);
    await act(port);
    await expectRst(t, driver, port, what);
    port++;
  }
  const guest = await driver.connect(port, PORT);
  await driver.post({ srcPort: port, dstPort: PORT, op: VSOCK_CREDIT_UPDATE, length: 0 }, big);
  await driver.post({ srcPort: port, dstPort: PORT, op: VSOCK_SHUTDOWN, flags: 0x10 });
  await driver.post({ srcPort: port, dstPort: PORT, op: VSOCK_CREDIT_REQUEST });
  t.equal((await driver.packet()).op, VSOCK_CREDIT_UPDATE, 'unknown flags and extra bytes do not');
  t.equal(guest.peerBufAlloc, 262_144);
});

t.test('VS-006 VS-008 chains of odd shapes', async (t) => {
  const driver = await scene.start(t);
  const { guest, host } = await pair(t, driver);
  const { ring } = driver.frontend.queue(1);
  const short = driver.frontend.memory.allocate(64);
  for (const bytes of [1, 16, 43]) {
    ring.add([{ offset: short, bytes, writable: false }]);
  }
  const fields = { srcPort: guest.guestPort, dstPort: PORT, op: VSOCK_RW };
  for (const pieces of [[44], [1, 43], [20, 20, 10], [44, 1, 1, 1], []]) {
    const chunk = nextChunk(host);
    await driver.post(fields, Buffer.from('payload'), pieces).catch(() => {});
    t.equal(await chunk, 'payload', `pieces of ${pieces.join(', ') || 'one'}`);
  }
  driver.offerBuffers(1, 44);
  driver.offerBuffers(1, 3);
  host.write('x');
  t.equal(String(await driver.receive(guest, 1)), '120', 'buffers without room are passed over');
});

t.test('VS-012 packets for no connection', async (t) => {
  const driver = await scene.start(t);
  for (const op of [VSOCK_RESPONSE, VSOCK_RW, VSOCK_CREDIT_UPDATE, VSOCK_CREDIT_REQUEST, 4]) {
    await driver.post({ srcPort: 9, dstPort: 9, op });
    t.equal((await driver.packet()).op, VSOCK_RST, `op ${op}`);
  }
  await driver.post({ srcPort: 9, dstPort: 9, op: VSOCK_RST });
  t.equal(await driver.packetWithin(100), undefined);
});

t.test(
  'VS-020 VS-027 a host that does not read, a guest that goes beyond its credit',
  async (t) => {
    const driver = await scene.start(t);
    const { guest, host } = await pair(t, driver);
    host.pause();
    // The kernel's buffer and ours; then credit is out, and one more byte is too many.
    const part = Buffer.alloc(65_536, 7);
    let total = 0;
    for (;;) {
      const free = guest.peerBufAlloc - (guest.sent - guest.peerFwdCnt);
      if (free < part.byteLength && (await driver.packetWithin(200)) === undefined) {
        break;
      }
      if (free >= part.byteLength) {
        await driver.say(guest, VSOCK_RW, 0, part);
        total += part.byteLength;
      }
    }
    t.ok(total >= 262_144 && total < 2 << 20, `${total} bytes were taken`);
    const live = await driver.connect(5001, PORT);
    await driver.send(live, Buffer.from('others go on'));
    // As much again as the whole credit: more than can have been forwarded and not announced.
    for (let i = 0; i < 5; i++) {
      await driver.say(guest, VSOCK_RW, 0, part);
    }
    await expectRst(t, driver, guest.guestPort, 'RST');
    host.destroy();
  },
);

t.test('VS-021 VS-022 VS-023 VS-024 credit of the guest', async (t) => {
  const driver = await scene.start(t, { bufAlloc: 0 });
  const { guest, host } = await pair(t, driver);
  host.write('waiting');
  t.equal((await driver.packet()).op, VSOCK_CREDIT_REQUEST, 'asked once');
  t.equal(await driver.packetWithin(200), undefined, 'nothing without credit, no flood');
  const update = { srcPort: 5000, dstPort: PORT, op: VSOCK_CREDIT_UPDATE };
  await driver.post({ ...update, bufAlloc: 3 });
  t.equal(String((await driver.packetOf(VSOCK_RW)).payload), '119,97,105');
  await driver.post({ ...update, bufAlloc: 2 });
  t.equal((await driver.packetWithin(200))?.op ?? 0, VSOCK_CREDIT_REQUEST, 'less than is out');
  await driver.post({ ...update, bufAlloc: 3, fwdCnt: 1000 });
  t.equal(await driver.packetWithin(200), undefined, 'a count beyond what was sent is no credit');
  await driver.post({ ...update, bufAlloc: 0xffff_ffff, fwdCnt: 3 });
  t.equal(Buffer.from((await driver.packetOf(VSOCK_RW)).payload).toString(), 'ting');
  t.equal(guest.received, 7);
});

t.test('VS-026 a flood of CREDIT_REQUEST without receive buffers', async (t) => {
  const driver = await scene.start(t);
  const { guest } = await pair(t, driver);
  driver.stocked = false;
  await driver.packetWithin(20);
  for (let i = 0; i < 500; i++) {
    await driver.say(guest, VSOCK_CREDIT_REQUEST);
  }
  let answers = 0;
  while ((await driver.packetWithin(100)) !== undefined) {
    answers++;
  }
  t.ok(answers <= 32, `${answers} answers into 32 buffers`);
  driver.stocked = true;
  driver.offerBuffers(16);
  t.ok((await driver.packetWithin(200)) === undefined || true);
  await driver.say(guest, VSOCK_CREDIT_REQUEST);
  t.equal((await driver.packet()).op, VSOCK_CREDIT_UPDATE);
});

t.test('VS-030 data pending and no receive buffers: no spin', async (t) => {
  const driver = await scene.start(t, { receiveBuffers: 2 });
  const { host } = await pair(t, driver);
  driver.stocked = false;
  host.write(Buffer.alloc(100_000));
  await driver.packetWithin(50);
  const before = scene.daemon.cpuSeconds();
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.ok(scene.daemon.cpuSeconds() - before < 0.05, 'the daemon rests');
});

t.test('VS-030 a REQUEST of the host that nobody answers', async (t) => {
  const driver = await scene.start(t);
  const host = scene.connect(t, 'CONNECT 80\n');
  const closed = new Promise((resolve) => host.once('close', resolve));
  host.resume();
  const request = await driver.packetOf(VSOCK_REQUEST);
  host.on('end', () => host.end());
  await closed;
  const rst = await driver.packetOf(VSOCK_RST);
  t.equal(rst.srcPort, request.srcPort, 'both ends hear of it');
});

t.test('VS-032 a host that leaves with data of the guest unsent', async (t) => {
  const driver = await scene.start(t);
  const { guest, host } = await pair(t, driver);
  host.pause();
  for (let i = 0; i < 4; i++) {
    await driver.say(guest, VSOCK_RW, 0, Buffer.alloc(65_536));
  }
  host.destroy();
  const { flags } = await driver.packetOf(VSOCK_SHUTDOWN);
  t.ok(flags & 1, 'it is told that nobody listens');
  await expectRst(t, driver, guest.guestPort, 'and RST follows');
});

t.test('VS-033 lines that are no CONNECT', async (t) => {
  await scene.start(t);
  const rows = [
    'CONNECT\n',
    'CONNECT -1\n',
    'CONNECT 4294967295\n',
    'CONNECT 4294967296\n',
    'CONNECT 0x10\n',
    'CONNECT 1 2\n',
    'CONNECT 1\0\n',
    'HELLO 1\n',
    '\n',
    'x'.repeat(4096),
  ];
  for (const row of rows) {
    const host = scene.connect(t, row);
    host.resume();
    host.on('end', () => host.destroy());
    await new Promise((resolve) => host.once('close', resolve));
    t.pass(JSON.stringify(row.slice(0, 20)));
  }
  const quits = createConnection({ path: scene.path });
  quits.write('CONN');
  await new Promise((resolve) => setTimeout(resolve, 20));
  quits.destroy();
});

t.test('VS-033 thousands of half lines', async (t) => {
  await t.test('the session', async (t) => {
    const driver = await scene.start(t);
    const hosts = Array.from({ length: 2000 }, () => {
      const host = scene.connect(t, 'CONNECT 1');
      host.resume();
      host.on('end', () => host.destroy());
      return host;
    });
    await Promise.all(hosts.map((host) => new Promise((resolve) => host.once('close', resolve))));
    scene.connect(t, 'CONNECT 5\r\n');
    t.equal((await driver.accept()).guestPort, 5, 'all are sent away, and the next is served');
  });
  await settled(t);
});

t.test('VS-036 a session that ends with connections', async (t) => {
  await t.test('the session', async (t) => {
    const driver = await scene.start(t);
    await scene.listen(t, PORT, (socket) => socket.on('error', () => {}));
    for (let i = 0; i < 200; i++) {
      await driver.connect(10_000 + i, PORT);
    }
    t.ok(scene.daemon.resources().fds >= idleFds + 200);
  });
  await settled(t);
});

t.test('VS-041 ports 0 and 2^32 - 1', async (t) => {
  const driver = await scene.start(t);
  const host = scene.connect(t, 'CONNECT 0\n');
  t.equal((await driver.accept()).guestPort, 0);
  host.destroy();
  for (const port of [0, 0xffff_ffff]) {
    await driver.post({ srcPort: port, dstPort: 0xffff_ffff, op: VSOCK_REQUEST });
    t.equal((await driver.packetOf(VSOCK_RST)).dstPort, port);
  }
  const all = new Promise<Buffer>((resolve) => {
    void scene.listen(t, 0xffff_fffe, (socket) => resolve(toEnd(socket)));
  });
  const guest = await driver.connect(0xffff_ffff, 0xffff_fffe);
  await driver.send(guest, Buffer.from('far'));
  await driver.say(guest, VSOCK_SHUTDOWN, 3);
  t.equal(String(await all), 'far');
});
