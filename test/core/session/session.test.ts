import t, { type Test } from 'tap';
import {
  BACKEND_REQUESTS,
  encodeMessage,
  encodeReply,
  encodeRequest,
  FRONTEND_REQUESTS,
  type FrontendRequestName,
  hasFeature,
  PAYLOADS,
  type RequestRow,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../../src/core/protocol/index.js';
import { native } from '../../../src/native/index.js';
import { COMPLETE, HOLD } from '../../fixtures/scripted-handler.js';
import { eventfd, openDescriptors, until } from '../../support/resources.js';
import { type RigOptions, SessionRig } from '../../support/session-rig.js';
import { TinyRing } from '../../support/tiny-ring.js';

const rows = FRONTEND_REQUESTS as readonly unknown[] as readonly RequestRow[];
const request = (what: number) => Uint8Array.of(what, 0, 0, 0);

/** The shortest payload of zeroes its codec takes. */
function zeroes(row: RequestRow): Uint8Array {
  const { lengths } = PAYLOADS[row.payload];
  return new Uint8Array('oneOf' in lengths ? (lengths.oneOf[0] as number) : lengths.minBytes);
}

/** Brings vring 0 up over the wire. */
async function startVring(rig: SessionRig, ring: TinyRing): Promise<void> {
  const { fd, ...region } = ring.region;
  await rig.ask('SET_MEM_TABLE', { regions: [region] }, { fds: [fd] });
  await rig.ask('SET_VRING_NUM', { index: 0, num: ring.size });
  await rig.ask('SET_VRING_ADDR', { index: 0, flags: 0, logAddress: 0n, ...ring.addresses });
  await rig.ask('SET_VRING_CALL', { index: 0, hasFd: true }, { fds: [ring.callFd] });
  await rig.ask('SET_VRING_ERR', { index: 0, hasFd: true }, { fds: [ring.errFd] });
  await rig.ask('SET_VRING_KICK', { index: 0, hasFd: true }, { fds: [ring.kickFd] });
  await rig.ask('SET_VRING_ENABLE', { index: 0, num: 1 });
}

async function openRunning(t: Test, options: RigOptions = {}) {
  const rig = new SessionRig(t, options);
  await rig.negotiate();
  const ring = new TinyRing();
  t.teardown(() => ring.close());
  await startVring(rig, ring);
  return { rig, ring };
}

t.test('the first message may be any (CS-056)', async (t) => {
  for (const row of rows) {
    const rig = new SessionRig(t);
    const fd = eventfd();
    const needsFd = 'bounds' in row.fds ? row.fds.bounds.max === 1 : row.fds.min === 1;
    rig.peer.send(
      encodeRequest(row.id, zeroes(row), { needReply: false }),
      needsFd && row.name !== 'SET_LOG_BASE' && row.name !== 'REM_MEM_REG' ? [fd] : [],
    );
    // A question follows: the session either answers it or has ended. Nothing hangs.
    rig.peer.trySend(encodeRequest(1, new Uint8Array(0), { needReply: false }));
    const answer = await rig.peer.message();
    t.ok(answer === undefined || answer.byteLength >= 12, row.name);
    rig.peer.close();
    await rig.ended;
    native.fdClose(fd);
    t.notOk(
      rig.lines.some((line) => line.startsWith('error')),
      row.name,
    );
  }
});

t.test('one reply where one is due, none elsewhere (CS-058, CS-059)', async (t) => {
  const table: readonly (readonly [
    FrontendRequestName,
    ack: boolean,
    need: boolean,
    replies: number,
  ])[] = [
    ['SET_OWNER', false, false, 0],
    ['SET_OWNER', false, true, 0],
    ['SET_OWNER', true, false, 0],
    ['SET_OWNER', true, true, 1],
    ['GET_FEATURES', false, false, 1],
    ['GET_FEATURES', true, true, 1],
    ['GET_QUEUE_NUM', true, true, 1],
  ];
  for (const [name, ack, needReply, replies] of table) {
    const rig = new SessionRig(t);
    rig.send('SET_PROTOCOL_FEATURES', ack ? VHOST_USER_PROTOCOL_F_REPLY_ACK : 0n);
    rig.send(name as 'SET_OWNER', undefined, { needReply });
    for (let i = 0; i < replies; i++) {
      t.type((await rig.reply(name))?.payload, 'bigint', name);
    }
    t.ok(await rig.peer.quiet(), `${name}: ${replies}`);
  }
});

t.test('requests of features that were not negotiated (CS-015)', async (t) => {
  for (const row of rows) {
    const gate = row.feature?.state === 'acked' || row.needs !== 0n;
    if (!gate || row.name === 'GET_QUEUE_NUM' || row.fds !== rows[0]?.fds) {
      continue; // those with descriptors are in the first table
    }
    const rig = new SessionRig(t);
    rig.send('SET_PROTOCOL_FEATURES', VHOST_USER_PROTOCOL_F_REPLY_ACK);
    const payload = zeroes(row);
    if (row.payload === 'iotlb') {
      payload[25] = 2;
    } else if (row.payload === 'sharedObject') {
      payload[0] = 1;
    }
    rig.peer.send(encodeRequest(row.id, payload, { needReply: true }));
    const answer = await rig.peer.message();
    if (row.reply.refusal === 'close') {
      t.equal(answer, undefined, `${row.name} closes`);
    } else if (row.reply.refusal === 'empty') {
      t.equal(answer?.byteLength, 12, `${row.name} is refused`);
    } else {
      t.not(answer?.[12], 0, `${row.name} is refused`);
    }
    t.match(rig.lines.join('\n'), /NOT_NEGOTIATED/, row.name);
    t.notOk(
      rig.device.calls.some((call) => call !== 'reset'),
      'without effect',
    );
  }
});

t.test('ids nobody knows (CS-014)', async (t) => {
  const known = new Set(rows.map(({ id }) => id));
  const ids = [0, 45, 46, 100, 1001, 2 ** 31, 2 ** 32 - 1, ...BACKEND_REQUESTS.map(({ id }) => id)];
  const rig = new SessionRig(t);
  await rig.negotiate();
  for (const id of ids.filter((id) => !known.has(id))) {
    rig.peer.send(encodeRequest(id, new Uint8Array(40), { needReply: true }));
    const reply = await rig.peer.message();
    t.not(reply?.[12], 0, `${id} is refused`);
    t.equal(await rig.ask('SET_OWNER', undefined), 0n, 'its payload was consumed');
  }
  rig.peer.send(encodeRequest(45, new Uint8Array(8), { needReply: false }));
  t.ok(await rig.peer.ended(), 'without a reply only closing tells');
});

t.test('refused or closed', async (t) => {
  const ACK = 9;
  const state = (index: number, num: number) => PAYLOADS.vringState.encode({ index, num });
  const table: readonly (readonly [string, 'refused' | 'closed', Uint8Array, fds?: number])[] = [
    ['bad vring index', 'refused', encodeMessage({ request: 8, flags: ACK, payload: state(9, 8) })],
    [
      'bad payload size',
      'refused',
      encodeMessage({ request: 8, flags: ACK, payload: new Uint8Array(7) }),
    ],
    ['no NEED_REPLY', 'closed', encodeMessage({ request: 8, flags: 1, payload: state(9, 8) })],
    ['a reply', 'closed', encodeReply(8, new Uint8Array(8))],
    [
      'a descriptor too many',
      'closed',
      encodeMessage({ request: 8, flags: ACK, payload: state(0, 8) }),
      1,
    ],
    [
      'no descriptor',
      'closed',
      encodeMessage({ request: 21, flags: ACK, payload: new Uint8Array(0) }),
    ],
    [
      'descriptors with an unknown id',
      'refused',
      encodeMessage({ request: 99, flags: ACK, payload: state(0, 8) }),
      3,
    ],
    [
      'GET_VRING_BASE of no vring',
      'closed',
      encodeMessage({ request: 11, flags: ACK, payload: state(7, 0) }),
    ],
    [
      'GET_CONFIG of nothing',
      'refused',
      encodeMessage({ request: 24, flags: 1, payload: new Uint8Array(12) }),
    ],
  ];
  for (const [what, answer, bytes, fdCount = 0] of table) {
    const rig = new SessionRig(t);
    await rig.negotiate();
    await rig.session.pool.ready();
    const fds = Array.from({ length: fdCount }, () => eventfd());
    const before = openDescriptors();
    rig.peer.send(bytes, fds);
    if (answer === 'closed') {
      t.ok(await rig.peer.ended(), what);
      await rig.ended;
    } else {
      t.ok((await rig.peer.message()) !== undefined, what);
      t.equal(await rig.ask('SET_OWNER', undefined), 0n, `${what}: the session goes on`);
      t.equal(openDescriptors(), before, `${what}: descriptors are closed`);
    }
    t.match(rig.lines.join('\n'), /^warn /, what);
    rig.peer.close();
    await rig.ended;
    await rig.close();
    fds.map(native.fdClose);
  }
});

t.test('a started vring: served, asked, ended', async (t) => {
  const { rig, ring } = await openRunning(t);
  ring.add(request(COMPLETE), 1);
  await until('served', () => ring.usedIndex === 1);
  t.same(await rig.ask('GET_VRING_BASE', { index: 0, num: 0 }), { index: 0, num: 1 });
  t.equal(rig.session.vring(0).started, false);
  t.equal(rig.session.vring(0).addresses, undefined, 'addresses are forgotten (CS-119)');
});

t.test('the end of a session leaves nothing', async (t) => {
  const { rig, ring } = await openRunning(t);
  ring.add(request(HOLD), 1);
  const before = openDescriptors();
  rig.peer.close();
  await rig.session.pool.tellHandlers('release');
  await rig.ended;
  t.equal(rig.device.calls.at(-1), 'reset');
  t.ok(rig.session.connection.closed);
  t.throws(() => rig.session.memory.regionCount, TypeError, 'memory is released');
  t.ok(openDescriptors() < before);
  t.equal(
    rig.session.vrings.some(({ started }) => started),
    false,
  );
});

t.test('storage that hangs: the session ends, its memory stays until all is back', async (t) => {
  const { rig, ring } = await openRunning(t, { drainTimeoutMs: 30 });
  ring.add(request(HOLD), 1);
  await until('popped', () => native.eventfdRead(ring.kickFd) >= 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  rig.send('GET_VRING_BASE', { index: 0, num: 0 });
  t.ok(await rig.peer.ended(), 'the front-end is told');
  t.match(rig.lines.join('\n'), /DRAIN_TIMEOUT/);
  let over = false;
  void rig.ended.then(() => {
    over = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.equal(over, false, 'waits for the request');
  await rig.session.pool.tellHandlers('release');
  await rig.ended;
  t.throws(() => rig.session.memory.regionCount, TypeError);
});

t.test('broken vrings: the session goes on, lost memory ends it', async (t) => {
  const { rig, ring } = await openRunning(t);
  ring.offer(ring.size);
  await until('told', () => rig.lines.length > 0);
  t.match(rig.lines, [
    /^warn virtqueue stopped .*INVALID_DESCRIPTOR_INDEX.*head index out of range/,
  ]);
  t.equal(await rig.ask('SET_OWNER', undefined), 0n);
  t.same(await rig.ask('GET_VRING_BASE', { index: 0, num: 0 }), { index: 0, num: 0 });
  rig.session.queueBroken(0, 12);
  t.ok(await rig.peer.ended());
  t.match(rig.lines.join('\n'), /MEMORY_LOST/);
});

t.test('log lines a peer can cause are bounded', async (t) => {
  const rig = new SessionRig(t);
  await rig.negotiate();
  for (let i = 0; i < 100; i++) {
    await rig.ask('SET_VRING_NUM', { index: 9, num: 8 });
  }
  t.equal(rig.lines.length, 10);
});

t.test('a device that breaks ends its session as our own fault', async (t) => {
  const rig = new SessionRig(t);
  rig.device.getConfig = () => {
    throw new RangeError('our bug');
  };
  await rig.negotiate();
  t.ok(hasFeature(rig.session.ackedFeatures, VHOST_USER_F_PROTOCOL_FEATURES));
  rig.send('GET_CONFIG', { offset: 0, flags: 0, bytes: new Uint8Array(4) });
  t.ok(await rig.peer.ended());
  t.match(rig.lines.at(-1), /^error session failed .*our bug/);
});
