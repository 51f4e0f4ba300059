// SEQPACKET: message boundaries between a driver and message sockets of the host. Node has none, so
// the host's programs are the addon's.

import { randomBytes } from 'node:crypto';
import t from 'tap';
import { check, native } from '../../src/native/index.js';
import { VSOCK_RST, VSOCK_RW, VSOCK_SEQPACKET, VSOCK_SHUTDOWN } from '../../src/testing/index.js';
import { vsockScene } from '../support/vsock-scene.js';

const SOCK_SEQPACKET = 5;
const EOM = 1;
const scene = await vsockScene(t);

/** The next message on a socket. */
async function message(fd: number): Promise<Buffer> {
  const to = new Uint8Array(1 << 20);
  for (let tries = 0; tries < 1000; tries++) {
    const got = native.hostReceive(fd, to, 0, to.byteLength, false);
    if (got >= 0) {
      return Buffer.from(to.slice(0, got));
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error('no message');
}

async function accepted(listener: number): Promise<number> {
  for (;;) {
    const fd = native.hostAccept(listener);
    if (fd >= 0) {
      return fd;
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function say(fd: number, text: string | Uint8Array): void {
  const bytes = Buffer.from(text);
  check('send', native.hostSend(fd, bytes, 0, bytes.byteLength));
}

t.test('boundaries from host to guest', async (t) => {
  const driver = await scene.start(t);
  const fd = check('connect', native.hostConnect(`${scene.path}_seqpacket`, SOCK_SEQPACKET));
  t.teardown(() => native.fdClose(fd));
  say(fd, 'CONNECT 9\n');
  const guest = await driver.accept();
  t.equal(guest.type, VSOCK_SEQPACKET);
  t.equal(String(await message(fd)), `OK ${guest.hostPort}\n`);
  const large = randomBytes(100_000);
  say(fd, 'one');
  say(fd, 'two');
  say(fd, large);
  t.same(
    [String((await driver.packet()).payload), (await driver.packet()).flags],
    ['111,110,101', EOM],
  );
  const parts: Buffer[] = [];
  for (;;) {
    const { op, flags, payload } = await driver.packet();
    t.equal(op, VSOCK_RW);
    parts.push(Buffer.from(payload));
    if (flags === EOM) {
      break;
    }
    await driver.giveCredit(guest);
  }
  t.ok(Buffer.concat(parts).equals(large), 'a message of many packets');
});

t.test('boundaries from guest to host', async (t) => {
  const driver = await scene.start(t);
  const listener = check('listen', native.hostListen(`${scene.path}_3`, SOCK_SEQPACKET, 8));
  t.teardown(() => native.fdClose(listener));
  const guest = await driver.connect(70, 3, VSOCK_SEQPACKET);
  const fd = await accepted(listener);
  t.teardown(() => native.fdClose(fd));
  const large = randomBytes(150_000);
  await driver.say(guest, VSOCK_RW, EOM, Buffer.from('whole'));
  await driver.say(guest, VSOCK_RW, 0, large.subarray(0, 60_000));
  await driver.say(guest, VSOCK_RW, 0, large.subarray(60_000, 120_000));
  await driver.say(guest, VSOCK_RW, EOM, large.subarray(120_000));
  t.equal(String(await message(fd)), 'whole');
  t.ok((await message(fd)).equals(large), 'in one piece, however it came');
  await driver.say(guest, VSOCK_SHUTDOWN, 3);
  t.equal((await driver.packetOf(VSOCK_RST)).dstPort, 70);
  t.equal((await message(fd)).byteLength, 0, 'the end');
});

t.test('VS-040 messages that can not be delivered', async (t) => {
  const driver = await scene.start(t, { bufAlloc: 1000 });
  const fd = check('connect', native.hostConnect(`${scene.path}_seqpacket`, SOCK_SEQPACKET));
  t.teardown(() => native.fdClose(fd));
  say(fd, 'CONNECT 9\n');
  const guest = await driver.accept();
  await message(fd);
  say(fd, new Uint8Array(1001));
  t.equal(
    (await driver.packetOf(VSOCK_RST)).dstPort,
    guest.guestPort,
    'larger than the guest takes',
  );
  const listener = check('listen', native.hostListen(`${scene.path}_4`, SOCK_SEQPACKET, 8));
  t.teardown(() => native.fdClose(listener));
  const never = await driver.connect(71, 4, VSOCK_SEQPACKET);
  for (let i = 0; i < 5; i++) {
    await driver.say(never, VSOCK_RW, 0, new Uint8Array(60_000));
  }
  t.equal((await driver.packetOf(VSOCK_RST)).dstPort, 71, 'without an end, beyond the credit');
});
