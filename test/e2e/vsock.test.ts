// virtio-vsock through the spawned daemon: our driver on one side, UNIX sockets on the other.

import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { VIRTIO_F_RING_PACKED, VIRTIO_F_RING_RESET } from '../../src/core/protocol/index.js';
import { VSOCK_RST, VSOCK_RW, VSOCK_SHUTDOWN, type VsockDriver } from '../../src/testing/index.js';
import { TestQueue } from '../../src/testing/test-frontend.js';
import { nextChunk, toEnd, vsockScene } from '../support/vsock-scene.js';

const scene = await vsockScene(t);
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

t.test('the guest connects to the host', async (t) => {
  const driver = await scene.start(t);
  const served = new Promise<Socket>((resolve) => void scene.listen(t, 1234, resolve));
  const guest = await driver.connect(5000, 1234);
  const host = await served;
  await driver.send(guest, Buffer.from('hello'));
  t.equal(await nextChunk(host), 'hello');
  host.write('welcome');
  t.equal(Buffer.from(await driver.receive(guest, 7)).toString(), 'welcome');
});

t.test('the host connects to the guest', async (t) => {
  const driver = await scene.start(t);
  const host = scene.connect(t, 'CONNECT 80\n');
  const guest = await driver.accept();
  t.equal(guest.guestPort, 80);
  t.equal(await nextChunk(host), `OK ${guest.hostPort}\n`);
  host.write('GET');
  t.equal(Buffer.from(await driver.receive(guest, 3)).toString(), 'GET');
  await driver.send(guest, Buffer.from('200'));
  t.equal(await nextChunk(host), '200');
});

async function megabytesBothWays(t: Test, packed: boolean): Promise<void> {
  const driver = await scene.start(t, { receiveBytes: 65_536 + 44 }, { packed });
  t.equal((driver.frontend.features & VIRTIO_F_RING_PACKED) !== 0n, packed);
  const bytes = randomBytes(8 << 20);
  const got: Promise<Buffer>[] = [];
  await scene.listen(t, 1, (socket) => {
    got.push(toEnd(socket));
  });
  const guest = await driver.connect(5001, 1);
  await driver.send(guest, bytes);
  await driver.say(guest, VSOCK_SHUTDOWN, 2);
  t.equal(sha((await got[0]) as Buffer), sha(bytes), 'guest to host');
  const host = scene.connect(t, 'CONNECT 7\n');
  const second = await driver.accept();
  await nextChunk(host);
  host.write(bytes);
  t.equal(sha(await driver.receive(second, bytes.byteLength)), sha(bytes), 'host to guest');
}

for (const packed of [false, true]) {
  t.test(`megabytes both ways, ${packed ? 'packed' : 'split'} rings`, (t) =>
    megabytesBothWays(t, packed),
  );
}

t.test(
  'VS-037 TRANSPORT_RESET for a driver that was there before, not for a fresh one',
  async (t) => {
    const rows = [
      { packed: false, base: 0, reset: false },
      { packed: false, base: 7, reset: true },
      { packed: true, base: 0x8000_8000, reset: false },
      { packed: true, base: 0x8007_8007, reset: true },
    ];
    for (const { packed, base, reset } of rows) {
      await t.test(`${packed ? 'packed' : 'split'} at 0x${base.toString(16)}`, async (t) => {
        const { frontend } = await scene.start(t, {}, { packed, base });
        const event = frontend.queue(2);
        event.driver.add([{ offset: frontend.memory.allocate(4), bytes: 4, writable: true }]);
        event.driver.publish();
        event.kick();
        t.equal(await event.signalled(event.callFd, reset ? 5000 : 100), reset);
      });
    }
  },
);

t.test('VS-034 half-close carries the end one way, the other still flows', async (t) => {
  const driver = await scene.start(t);
  const served = new Promise<Socket>((resolve) => void scene.listen(t, 9, resolve));
  const guest = await driver.connect(5002, 9);
  const host = await served;
  const all = toEnd(host);
  await driver.send(guest, Buffer.from('last words'));
  await driver.say(guest, VSOCK_SHUTDOWN, 2);
  t.equal(String(await all), 'last words');
  host.write('still here');
  t.equal(Buffer.from(await driver.receive(guest, 10)).toString(), 'still here');
  host.end();
  const shutdown = await driver.packetOf(VSOCK_SHUTDOWN);
  t.ok(shutdown.flags & 2, 'the host sends no more');
  await driver.say(guest, VSOCK_SHUTDOWN, 3);
  t.equal((await driver.packetOf(VSOCK_RST)).dstPort, 5002);
});

t.test('VS-031 nobody listens', async (t) => {
  const driver = await scene.start(t);
  const guest = driver.socket(5003, 99);
  await driver.say(guest, 1);
  t.equal((await driver.packet()).op, VSOCK_RST);
  await driver.say(guest, VSOCK_RST);
  t.equal(await driver.packetWithin(100), undefined, 'an RST has no answer');
  await driver.say(guest, VSOCK_RW, 0, Buffer.from('x'));
  t.equal((await driver.packet()).op, VSOCK_RST);
});

t.test('a host program that leaves', async (t) => {
  const driver = await scene.start(t);
  const host = scene.connect(t, 'CONNECT 80\n');
  const guest = await driver.accept();
  await nextChunk(host);
  host.write('bye');
  host.destroy();
  t.equal(Buffer.from(await driver.receive(guest, 3)).toString(), 'bye');
  // It may be seen to end before it is seen to be gone.
  const { flags } = await driver.packetOf(VSOCK_SHUTDOWN);
  t.equal(flags === 2 ? (await driver.packetOf(VSOCK_SHUTDOWN)).flags : flags, 3);
  t.equal((await driver.packetOf(VSOCK_RST)).dstPort, 80, 'RST, as the guest did not answer');
});

/** A queue stops and begins anew in another place, as VIRTIO 1.3 §2.6.1 has it. */
async function resetQueue({ frontend }: VsockDriver, index: number): Promise<void> {
  await frontend.frontend.setVringEnable(index, false);
  await frontend.frontend.getVringBase(index);
  frontend.queue(index).close();
  const queue = new TestQueue(frontend.memory, index, { size: 64, eventIdx: true });
  frontend.queues[index] = queue;
  await frontend.startQueue(queue, queue.driver.resumeBase);
  await frontend.frontend.setVringEnable(index, true);
}

t.test('RING_RESET: connections outlive a queue, not the driver', async (t) => {
  const driver = await scene.start(t);
  t.ok(driver.frontend.features & VIRTIO_F_RING_RESET);
  const served = new Promise<Socket>((resolve) => void scene.listen(t, 9, resolve));
  const guest = await driver.connect(5004, 9);
  const host = await served;
  const closed = new Promise((resolve) => host.once('close', resolve));
  for (const [index, name] of ['receive', 'transmit'].entries()) {
    await resetQueue(driver, index);
    if (index === 0) driver.offerBuffers(16);
    await driver.send(guest, Buffer.from(name));
    t.equal(await nextChunk(host), name);
    host.write('and back');
    t.equal(String(Buffer.from(await driver.receive(guest, 8))), 'and back', name);
  }
  await driver.frontend.frontend.setVringEnable(0, false);
  await driver.frontend.frontend.getVringBase(0);
  await resetQueue(driver, 1);
  host.resume();
  host.end();
  await closed;
  t.pass('with both queues stopped nobody knows it any more');
});
