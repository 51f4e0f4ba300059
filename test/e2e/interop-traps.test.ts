// The interop traps a block device meets, by their numbers: each was a bug of somebody's.

import t from 'tap';
import { VhostUserFrontend } from '../../src/core/frontend/index.js';
import {
  encodeFrontendRequest,
  encodeMessage,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_MQ,
} from '../../src/core/protocol/index.js';
import { BLK_IN, BlkDriver, STATUS_OK, TestFrontend } from '../../src/testing/index.js';
import { pattern, startDisk } from '../support/disk.js';

const READ = { type: BLK_IN, sector: 0, inBytes: 512 } as const;

t.test('trap 1: reply flags are exactly 5, also to NEED_REPLY', async (t) => {
  const disk = await startDisk(t);
  const { frontend, end } = await disk.connect();
  const raw = frontend.frontend;
  for (const name of ['GET_FEATURES', 'GET_PROTOCOL_FEATURES', 'GET_QUEUE_NUM'] as const) {
    raw.sendRaw(encodeFrontendRequest(name, undefined, { needReply: true }));
    const { header } = await raw.receive();
    t.same([header.flags, header.size], [5, 8], name);
  }
  raw.sendRaw(encodeFrontendRequest('SET_OWNER', undefined, { needReply: true }));
  t.same((await raw.receive()).header.flags, 5);
  await end();
});

t.test('trap 2: SET_FEATURES again while running disables nothing', async (t) => {
  const disk = await startDisk(t);
  const { frontend, driver, end } = await disk.connect();
  await frontend.frontend.setFeatures(frontend.features);
  await driver.write(0, pattern(512, 1));
  // virtio_uml: the second one has lost bit 30, and no ENABLE follows.
  await frontend.frontend.setFeatures(frontend.features & ~VHOST_USER_F_PROTOCOL_FEATURES);
  t.same(await driver.read(0, 512), pattern(512, 1));
  await end();
});

t.test('trap 3: without F_PROTOCOL_FEATURES a kick is enough', async (t) => {
  const disk = await startDisk(t);
  const withoutFeatures = VHOST_USER_F_PROTOCOL_FEATURES;
  const { driver, end } = await disk.connect({ withoutFeatures });
  t.equal((await driver.request(READ)).status, STATUS_OK);
  await end();
});

t.test('trap 4: SET_VRING_ENABLE of a later vring without MQ', async (t) => {
  const disk = await startDisk(t, ['--num-queues', '2']);
  const withoutProtocolFeatures = VHOST_USER_PROTOCOL_F_MQ;
  const { driver, end } = await disk.connect({ queues: 2, withoutProtocolFeatures });
  t.equal((await driver.request({ ...READ, queue: 1 })).status, STATUS_OK);
  await end();
});

t.test(
  'trap 5: a kick before enable is not lost, a disabled ring not served (CS-117)',
  async (t) => {
    const disk = await startDisk(t);
    const frontend = new TestFrontend({ socket: disk.socket });
    await frontend.negotiate();
    await frontend.startQueues();
    await frontend.frontend.setVringEnable(0, false);
    const driver = new BlkDriver(frontend);
    const answered = driver.request(READ);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { ring } = frontend.queue(0);
    t.equal(ring.publishedUsed, ring.base, 'nothing is done while disabled');
    await frontend.frontend.setVringEnable(0, true);
    t.equal((await answered).status, STATUS_OK, 'the kick counts once enabled');
    await frontend.stopQueues();
    frontend.close();
  },
);

t.test('trap 6: requests that wait in a ring are served without a kick', async (t) => {
  const disk = await startDisk(t);
  const { frontend, driver, end } = await disk.connect();
  const [base] = await frontend.stopQueues();
  const queue = frontend.queue(0);
  const { ring, callFd } = queue;
  const kick = queue.kick;
  queue.kick = () => {};
  const answered = driver.request(READ);
  await frontend.startQueue(queue, base as number);
  t.equal((await answered).status, STATUS_OK, `used ${ring.usedIndex}, call ${callFd}`);
  queue.kick = kick;
  await end();
});

t.test('trap 13: SET_VRING_ENABLE 0 before GET_VRING_BASE, then a new start', async (t) => {
  const disk = await startDisk(t);
  const { frontend, driver, end } = await disk.connect();
  await driver.write(8, pattern(512, 3));
  for (let round = 0; round < 3; round++) {
    await frontend.frontend.setVringEnable(0, false);
    const [base] = await frontend.stopQueues();
    t.equal(base, frontend.queue(0).ring.availIndex, 'base is the next avail index');
    await frontend.startQueue(frontend.queue(0), base as number);
    await frontend.frontend.setVringEnable(0, true);
    t.same(await driver.read(8, 512), pattern(512, 3));
  }
  await end();
});

t.test('trap 17: what closes a session is said on stderr', async (t) => {
  const disk = await startDisk(t);
  const raw = VhostUserFrontend.connect(disk.socket);
  raw.sendRaw(encodeMessage({ request: 1, flags: 2, payload: new Uint8Array(0) }));
  await t.rejects(raw.receive(), { code: 'PEER_CLOSED' });
  raw.close();
  for (let i = 0; i < 100 && !disk.daemon.stderr.includes('VERSION'); i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.match(disk.daemon.stderr, 'protocol version');
  const { driver, end } = await disk.connect();
  t.equal((await driver.request(READ)).status, STATUS_OK, 'the next one is served');
  await end();
});

t.test('trap 19: probes come and go, the listener stays', async (t) => {
  const disk = await startDisk(t, ['--once']);
  for (let i = 0; i < 20; i++) {
    const probe = VhostUserFrontend.connect(disk.socket);
    if (i % 2 === 0) {
      await probe.getFeatures();
    }
    probe.close();
  }
  const { driver, end } = await disk.connect();
  t.equal((await driver.request(READ)).status, STATUS_OK);
  await end();
  t.equal((await disk.daemon.exited).code, 0, '--once ends after the first that negotiated');
});
