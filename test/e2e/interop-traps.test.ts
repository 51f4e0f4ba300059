// The interop traps a block device meets, by their numbers: each was a bug of somebody's.

import t from 'tap';
import { VhostUserFrontend } from '../../src/core/frontend/index.js';
import {
  encodeFrontendRequest,
  encodeMessage,
  frontendRequest,
  payloadCodec,
  type RequestRow,
  replyIsDue,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_SHMEM,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { BLK_IN, BlkDriver, STATUS_OK, TestFrontend } from '../../src/testing/index.js';
import { pattern, startDisk } from '../support/disk.js';
import { until } from '../support/resources.js';
import { ScriptedBackend } from '../support/scripted-backend.js';
import { drained, postWrites, prepareWrites } from './support.js';

/** One daemon for all traps but those about its end. */
const QUEUES = 4;
const disk = await startDisk(t, ['--num-queues', `${QUEUES}`]);

/** Of the write cache mode, VIRTIO 1.3 §5.2.4. */
const WRITEBACK_AT = 32;
const READ = { type: BLK_IN, sector: 0, inBytes: 512 } as const;

t.test('trap 1: reply flags are exactly 5, also to NEED_REPLY', async (t) => {
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
  const { frontend, driver, end } = await disk.connect();
  await frontend.frontend.setFeatures(frontend.features);
  await driver.write(0, pattern(512, 1));
  // virtio_uml: the second one has lost bit 30, and no ENABLE follows.
  await frontend.frontend.setFeatures(frontend.features & ~VHOST_USER_F_PROTOCOL_FEATURES);
  t.same(await driver.read(0, 512), pattern(512, 1));
  await end();
});

t.test('trap 3: without F_PROTOCOL_FEATURES a kick is enough', async (t) => {
  const withoutFeatures = VHOST_USER_F_PROTOCOL_FEATURES;
  const { driver, end } = await disk.connect({ withoutFeatures });
  t.equal((await driver.request(READ)).status, STATUS_OK);
  await end();
});

t.test('trap 4: SET_VRING_ENABLE of a later vring without MQ', async (t) => {
  const withoutProtocolFeatures = VHOST_USER_PROTOCOL_F_MQ;
  const { driver, end } = await disk.connect({ queues: 2, withoutProtocolFeatures });
  t.equal((await driver.request({ ...READ, queue: 1 })).status, STATUS_OK);
  await end();
});

t.test(
  'trap 5: a kick before enable is not lost, a disabled ring not served (CS-117)',
  async (t) => {
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
  const { frontend, end } = await disk.connect();
  const [base] = await frontend.stopQueues();
  const queue = frontend.queue(0);
  prepareWrites(frontend, 3);
  await frontend.startQueue(queue, base as number);
  t.ok(await drained(frontend));
  await end();
});

t.test('trap 7: EVENT_IDX is taken from SET_FEATURES, whatever SET_VRING_BASE says', async (t) => {
  for (const withoutFeatures of [0n, VIRTIO_F_RING_EVENT_IDX]) {
    const { frontend, driver, end } = await disk.connect({ withoutFeatures, base: 0 });
    const queue = frontend.queue(0);
    await driver.request(READ);
    // An index no driver waits for: with the event index no call comes, without it one must.
    queue.ring.setUsedEvent(queue.ring.usedIndex + 100);
    native.eventfdRead(queue.callFd);
    const [posted] = postWrites(frontend, 1);
    await until('the write', () => frontend.memory.bytes[posted?.statusOffset ?? 0] === STATUS_OK);
    const wanted = withoutFeatures !== 0n;
    t.equal(await queue.signalled(queue.callFd, wanted ? 2000 : 50), wanted, `call: ${wanted}`);
    await end();
  }
});

t.test('trap 8: flags 0 and 1 of SET_CONFIG write, our front-end sends 0', async (t) => {
  const { frontend, end } = await disk.connect();
  const writeback = async () => (await frontend.frontend.getConfig(WRITEBACK_AT, 1))[0];
  for (const flags of [0, 1]) {
    await frontend.frontend.setConfig(WRITEBACK_AT, Uint8Array.of(0), flags);
    t.equal(await writeback(), 0, `flags ${flags}`);
    await frontend.frontend.setConfig(WRITEBACK_AT, Uint8Array.of(1), flags);
    t.equal(await writeback(), 1, `flags ${flags}`);
  }
  const readOnlyField = frontend.frontend.setConfig(0, new Uint8Array(8), 2);
  await t.rejects(readOnlyField, { code: 'PEER_REFUSED' }, 'flags 2 is migration for rust-vmm');
  await end();
  const backend = await ScriptedBackend.listen(t);
  const raw = VhostUserFrontend.connect(backend.path);
  await raw.setProtocolFeatures(VHOST_USER_PROTOCOL_F_CONFIG);
  await raw.setConfig(WRITEBACK_AT, Uint8Array.of(1));
  await until('SET_CONFIG', () => backend.named('SET_CONFIG').length > 0);
  t.equal(backend.named('SET_CONFIG')[0]?.payload[8], 0);
  raw.close();
});

t.test('trap 9: both refusals of GET_CONFIG are one', async (t) => {
  const { frontend, end } = await disk.connect();
  await t.rejects(frontend.frontend.getConfig(250, 8), { code: 'PEER_REFUSED' }, 'ours');
  await end();
  const refusals = { 'libvhost-user': new Uint8Array(0), 'rust-vmm': new Uint8Array(12) };
  for (const [whose, GET_CONFIG] of Object.entries(refusals)) {
    const backend = await ScriptedBackend.listen(t, { GET_CONFIG });
    const raw = VhostUserFrontend.connect(backend.path);
    await raw.setProtocolFeatures(VHOST_USER_PROTOCOL_F_CONFIG);
    await t.rejects(raw.getConfig(0, 8), { code: 'PEER_REFUSED' }, whose);
    raw.close();
  }
});

t.test('trap 10: SET_LOG_BASE is answered with LOG_SHMFD only', async (t) => {
  const row = frontendRequest('SET_LOG_BASE') as unknown as RequestRow;
  t.ok(replyIsDue(row, false, VHOST_USER_PROTOCOL_F_LOG_SHMFD));
  t.notOk(replyIsDue(row, false, 0n));
});

t.test('trap 11: inflight payloads of 20 and of 24 bytes, each answered alike', async (t) => {
  const codec = payloadCodec('inflight');
  for (const bytes of [20, 24]) {
    const payload = new Uint8Array(bytes);
    payload.set([2, 0, 128, 0], 16);
    const area = codec.decode(payload);
    t.match(area, { queueCount: 2, queueSize: 128 }, `${bytes} bytes`);
    t.same(codec.encode(area), payload);
  }
});

t.test('trap 12: REM_MEM_REG may carry a descriptor, which is closed', async (t) => {
  const frontend = new TestFrontend({ socket: disk.socket, memoryBytes: 1 << 20 });
  await frontend.negotiate();
  const far = { userAddress: 1n << 45n, guestAddress: 1n << 45n };
  const region = { ...frontend.memory.region, ...far };
  const add = () => frontend.frontend.addMemRegion(region, frontend.memory.fd);
  await add();
  await frontend.frontend.removeMemRegion(region);
  const before = disk.daemon.resources();
  for (let i = 0; i < 5; i++) {
    await add();
    const answer = await frontend.frontend.request('REM_MEM_REG', region, [frontend.memory.fd]);
    t.equal(answer as unknown, 0n);
  }
  t.same(disk.daemon.resources(), before, 'nothing of it stays');
  frontend.close();
});

t.test('trap 13: SET_VRING_ENABLE 0 before GET_VRING_BASE, then a new start', async (t) => {
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

t.test('trap 14: bit 30 decides about enabling, and no other bit', async (t) => {
  // `features & 30` looks at bits 1 to 4: here they are clear, and then the only ones set.
  const only30 = VIRTIO_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES;
  const waiting = new TestFrontend({ socket: disk.socket, withoutFeatures: ~only30 });
  await waiting.negotiate();
  const driver = new BlkDriver(waiting);
  await waiting.startQueues();
  await waiting.frontend.setVringEnable(0, false);
  const answered = driver.request(READ);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const { ring } = waiting.queue(0);
  t.equal(ring.publishedUsed, ring.base, 'with it a ring waits for SET_VRING_ENABLE');
  await waiting.frontend.setVringEnable(0, true);
  t.equal((await answered).status, STATUS_OK);
  waiting.close();
  const not30 = { withoutFeatures: VHOST_USER_F_PROTOCOL_FEATURES };
  const { driver: other, frontend, end } = await disk.connect(not30);
  t.not(frontend.features & 30n, 0n, 'bits 1 to 4 are not all clear');
  t.equal((await other.request(READ)).status, STATUS_OK, 'without it none is sent or needed');
  await end();
});

t.test('trap 15: what our front-end sends suits crosvm', async (t) => {
  const backend = await ScriptedBackend.listen(t, {}, { protocolFeatures: 0n });
  const socket = backend.path;
  const frontend = await TestFrontend.start({ socket, queues: 2, memoryBytes: 1 << 20 });
  await frontend.stopQueues();
  frontend.close();
  const names = backend.messages.map(({ name }) => name);
  const at = (name: string, queue: number) =>
    backend.messages.findIndex((message) => message.name === name && message.payload[0] === queue);
  for (const queue of [0, 1]) {
    const kick = at('SET_VRING_KICK', queue);
    t.ok(names.indexOf('SET_MEM_TABLE') < kick, 'memory before KICK');
    t.ok(at('SET_VRING_CALL', queue) < kick, 'CALL before KICK');
    t.same(
      [at('SET_VRING_CALL', queue), kick].map((i) => backend.messages[i]?.fds),
      [1, 1],
    );
  }
  t.equal(backend.named('SET_VRING_KICK').length, 2, 'one KICK for a start');
  t.notOk(
    names.some((name) => name.includes('INFLIGHT')),
    'no inflight message unasked',
  );
});

t.test('trap 16: no table of more than eight regions, GET_CONFIG may fail', async (t) => {
  const backend = await ScriptedBackend.listen(t, { GET_CONFIG: new Uint8Array(0) });
  const raw = VhostUserFrontend.connect(backend.path);
  const region = { guestAddress: 0n, userAddress: 0n, sizeBytes: 4096n, mmapOffsetBytes: 0n };
  await t.rejects(raw.setMemTable(new Array(9).fill(region), new Array(9).fill(0)));
  t.equal(backend.messages.length, 0, 'nothing was sent');
  await raw.setProtocolFeatures(VHOST_USER_PROTOCOL_F_CONFIG);
  await t.rejects(raw.getConfig(0, 8), { code: 'PEER_REFUSED' });
  t.equal(await raw.getFeatures(), backend.features, 'and the session goes on');
  raw.close();
});

t.test('trap 17: what closes a session is said on stderr', async (t) => {
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

t.test('trap 18: bit 21 is no SHMEM, nor is bit 20', async (t) => {
  const raw = VhostUserFrontend.connect(disk.socket);
  const offered = await raw.getProtocolFeatures();
  t.equal(VHOST_USER_PROTOCOL_F_SHMEM, 1n << 22n, 'what rust-vmm 0.17, crosvm and QEMU say');
  t.equal(VHOST_USER_PROTOCOL_F_GPA_ADDRESSES, 1n << 21n, 'which bit 21 is');
  t.equal(offered & VHOST_USER_PROTOCOL_F_SHMEM, 0n, 'a disk has none');
  await raw.setProtocolFeatures(offered);
  raw.sendRaw(encodeFrontendRequest('GET_SHMEM_CONFIG', undefined, { needReply: true }));
  await t.rejects(raw.receive(), { code: 'PEER_CLOSED' }, 'no answer that could be misread');
  raw.close();
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

t.test('trap 21: GET_QUEUE_NUM counts virtqueues', async (t) => {
  const raw = VhostUserFrontend.connect(disk.socket);
  await raw.setProtocolFeatures(VHOST_USER_PROTOCOL_F_MQ);
  t.equal(await raw.getQueueNum(), BigInt(QUEUES));
  raw.close();
});
