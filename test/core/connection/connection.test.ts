import t, { type Test } from 'tap';
import {
  Connection,
  type ConnectionOptions,
  type RawMessage,
} from '../../../src/core/connection/connection.js';
import {
  encodeFrontendRequest,
  encodeMessage,
  encodeReply,
  FDS_MAX,
  HEADER_BYTES,
  PAYLOAD_BYTES_MAX,
} from '../../../src/core/protocol/index.js';
import { native } from '../../../src/native/index.js';
import { Peer } from '../../support/peer.js';
import { eventfd, openDescriptors, socketPair, until } from '../../support/resources.js';

const SHORT_MS = 30;

function open(t: Test, options: ConnectionOptions = {}) {
  const before = openDescriptors();
  const [ours, theirs] = socketPair();
  const connection = new Connection(ours, options);
  const peer = new Peer(theirs);
  t.teardown(async () => {
    peer.close();
    connection.close();
  });
  return { connection, peer, before };
}

const GET_FEATURES = encodeFrontendRequest('GET_FEATURES', undefined, { needReply: false });
const SET_FEATURES = encodeFrontendRequest('SET_FEATURES', 7n, { needReply: true });

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function receive(connection: Connection): Promise<RawMessage> {
  const message = await connection.receive();
  if (message === undefined) {
    throw new Error('the stream has ended');
  }
  return message;
}

t.test('messages in any fragments (CS-002, CS-003, CS-004)', async (t) => {
  const both = Uint8Array.from([...SET_FEATURES, ...GET_FEATURES]);
  const rows: readonly (readonly [what: string, cuts: readonly number[]])[] = [
    ['in one write', []],
    ['byte by byte', Array.from({ length: both.length - 1 }, (_, i) => i + 1)],
    ['cut in the header', [5]],
    ['cut behind the header', [HEADER_BYTES]],
    ['cut in the payload', [HEADER_BYTES + 3]],
    ['cut between two', [SET_FEATURES.length]],
    ['payload with the next header', [HEADER_BYTES, SET_FEATURES.length + 4]],
  ];
  for (const [what, cuts] of rows) {
    const { connection, peer } = open(t);
    const sending = (async () => {
      let from = 0;
      for (const cut of [...cuts, both.length]) {
        peer.send(both.subarray(from, cut));
        from = cut;
        await pause(cuts.length > 10 ? 0 : 5);
      }
    })();
    const first = await receive(connection);
    t.match(first.header, { request: 2, needReply: true, size: 8 }, what);
    t.same([...first.payload], [7, 0, 0, 0, 0, 0, 0, 0], what);
    const second = await receive(connection);
    t.match(second.header, { request: 1, needReply: false, size: 0 }, what);
    t.equal(second.payload.byteLength, 0);
    await sending;
  }
});

t.test('the end of the stream (CS-001, CS-021)', async (t) => {
  for (let length = 0; length < SET_FEATURES.length; length++) {
    const { connection, peer } = open(t);
    if (length > 0) {
      peer.send(SET_FEATURES.subarray(0, length));
    }
    peer.close();
    if (length === 0) {
      t.equal(await connection.receive(), undefined, 'between two messages');
    } else {
      await t.rejects(connection.receive(), { code: 'TRUNCATED' }, `after ${length} bytes`);
    }
  }
});

t.test('headers that break the frame', async (t) => {
  const head = (flags: number, size: number) => {
    const bytes = encodeMessage({ request: 1, flags, payload: new Uint8Array(0) });
    new DataView(bytes.buffer).setUint32(8, size, true);
    return bytes;
  };
  const rows: readonly (readonly [code: string, bytes: Uint8Array])[] = [
    ['OVERSIZE', head(1, PAYLOAD_BYTES_MAX + 1)], // CS-007
    ['OVERSIZE', head(1, 65536)],
    ['OVERSIZE', head(1, 2 ** 31)],
    ['OVERSIZE', head(1, 2 ** 32 - 1)],
    ['VERSION', head(0, 0)],
    ['VERSION', head(2, 0)],
    ['HEADER_FLAGS', head(0x11, 0)],
    ['HEADER_FLAGS', head(0x80000001, 0)],
    ['OVERSIZE', head(5, PAYLOAD_BYTES_MAX + 1)],
  ];
  for (const [code, bytes] of rows) {
    const { connection, peer } = open(t);
    peer.send(bytes);
    await t.rejects(connection.receive(), { code, closesSession: true }, code);
  }
  const { connection, peer } = open(t);
  peer.send(encodeReply(1, new Uint8Array(PAYLOAD_BYTES_MAX)));
  const { header, payload } = await receive(connection);
  t.equal(header.isReply, true, 'who was to speak is the session’s to judge');
  t.equal(payload.byteLength, PAYLOAD_BYTES_MAX);
});

t.test('descriptors belong to the header they came with', async (t) => {
  const fds = Array.from({ length: 20 }, (_, i) => eventfd(i + 1));
  const some = (count: number) => fds.slice(0, count);
  {
    const { connection, peer } = open(t); // CS-006
    peer.send(SET_FEATURES);
    peer.send(GET_FEATURES, some(2));
    const first = await receive(connection);
    const second = await receive(connection);
    t.equal(first.fds.count, 0);
    t.same(second.fds.borrow().map(native.eventfdRead), [1, 2], 'in their order');
    second.fds.close();
  }
  {
    const { connection, peer } = open(t);
    peer.send(GET_FEATURES, some(FDS_MAX));
    const { fds: bag } = await receive(connection);
    t.equal(bag.count, FDS_MAX);
    bag.close();
  }
  const rows: readonly (readonly [code: string, (peer: Peer) => void])[] = [
    ['FD_PLACE', (peer) => peer.send(SET_FEATURES.subarray(HEADER_BYTES), some(1))], // CS-005
    ['FD_PLACE', (peer) => peer.send(SET_FEATURES.subarray(HEADER_BYTES + 2), some(3))],
  ];
  for (const [code, sendRest] of rows) {
    const { connection, peer } = open(t);
    const before = openDescriptors();
    peer.send(SET_FEATURES.subarray(0, code === 'FD_PLACE' ? HEADER_BYTES : 0));
    await pause(5);
    const received = connection.receive();
    await pause(5);
    sendRest(peer);
    await t.rejects(received, { code });
    t.equal(openDescriptors(), before, 'and are closed');
  }
  for (const count of [FDS_MAX + 1, 20]) {
    const { connection, peer } = open(t); // CS-031
    const before = openDescriptors();
    peer.send(GET_FEATURES, some(count));
    await t.rejects(connection.receive(), { code: /^FD_(COUNT|TRUNCATED)$/ }, `${count} fds`);
    t.equal(openDescriptors(), before, 'and are closed');
  }
  {
    const { connection, peer } = open(t);
    const before = openDescriptors();
    peer.send(GET_FEATURES.subarray(0, 4), some(2));
    peer.close();
    await t.rejects(connection.receive(), { code: 'TRUNCATED' });
    t.equal(openDescriptors(), before - 1, 'descriptors of half a header are closed');
  }
  fds.map(native.fdClose);
});

t.test('time limits (CS-016)', async (t) => {
  const limits = { messageTimeoutMs: SHORT_MS };
  const rows: readonly (readonly [what: string, bytes: number])[] = [
    ['part of the header', 4],
    ['header without payload', HEADER_BYTES],
    ['part of the payload', HEADER_BYTES + 1],
  ];
  for (const [what, length] of rows) {
    const { connection, peer } = open(t, limits);
    peer.send(SET_FEATURES.subarray(0, length));
    const startMs = performance.now();
    await t.rejects(connection.receive(), { code: 'HANDSHAKE_TIMEOUT' }, what);
    t.ok(performance.now() - startMs >= SHORT_MS - 2, what);
  }
  const { connection, peer } = open(t, limits);
  peer.send(GET_FEATURES);
  await receive(connection);
  const next = connection.receive();
  await pause(2 * SHORT_MS);
  peer.send(GET_FEATURES);
  t.match(await next, { header: { request: 1 } }, 'between two messages there is no limit');
});

t.test('a peer that does not read (CS-017)', async (t) => {
  const { connection, peer } = open(t);
  const reply = encodeReply(1, new Uint8Array(4096));
  let sent = 0;
  const sendAll = () => {
    for (; sent < 10_000; sent++) {
      connection.send(reply);
    }
  };
  t.throws(sendAll, { code: 'OUT_QUEUE_FULL' });
  const limit = (64 << 10) + (1 << 20);
  t.ok(sent > 16 && sent * reply.byteLength < limit, `${sent} replies`);
  t.throws(() => connection.send(reply, [1]), { code: 'OUT_QUEUE_FULL' }, 'none with fds waits');
  for (let i = 0; i < sent; i++) {
    t.equal((await peer.message())?.byteLength, reply.byteLength);
  }
  t.ok(await peer.quiet(), 'what was refused is not sent');
  connection.send(GET_FEATURES);
  t.same(await peer.message(), GET_FEATURES, 'and there is room again');
});

t.test('sending to a peer that is gone', async (t) => {
  const { connection, peer } = open(t);
  peer.close();
  t.throws(() => connection.send(GET_FEATURES), { code: 'PEER_CLOSED' });
});

t.test('descriptors go out with the message', async (t) => {
  const [ours, theirs] = socketPair();
  const sender = new Connection(ours);
  const receiver = new Connection(theirs);
  const fd = eventfd(9);
  sender.send(SET_FEATURES, [fd, fd]);
  const { fds } = await receive(receiver);
  t.same(fds.borrow().map(native.eventfdRead), [9, 0]);
  fds.close();
  t.equal(native.eventfdSignal(fd), 0, 'and stay the sender’s');
  native.fdClose(fd);
  sender.close();
  t.equal(await receiver.receive(), undefined);
  receiver.close();
});

t.test('close and fail end a receive that waits', async (t) => {
  for (const end of ['close', 'fail'] as const) {
    const { connection, peer } = open(t);
    const received = connection.receive();
    await pause(5);
    t.equal(connection.closed, false);
    if (end === 'close') {
      connection.close();
      connection.close();
      t.equal(connection.closed, true);
      await t.rejects(received, { code: 'PEER_CLOSED' });
      t.ok(await peer.ended());
      t.throws(() => connection.send(GET_FEATURES), { code: 'PEER_CLOSED' });
    } else {
      connection.fail(new RangeError('lost'));
      connection.fail(new Error('the first one counts'));
      await t.rejects(received, { name: 'RangeError', message: 'lost' });
    }
  }
});

t.test('a flood leaves others their turn (CS-018)', async (t) => {
  const { connection, peer } = open(t);
  const flood = Uint8Array.from(Array.from({ length: 1000 }, () => [...GET_FEATURES]).flat());
  peer.send(flood);
  let others = 0;
  const timer = setInterval(() => others++, 0);
  const immediate = () => {
    others++;
    if (received < 1000) setImmediate(immediate);
  };
  let received = 0;
  setImmediate(immediate);
  for (; received < 1000; received++) {
    await receive(connection);
  }
  clearInterval(timer);
  t.ok(others >= 20, `${others} turns of others`);
});

t.test('no descriptor is left', async (t) => {
  const { connection, peer, before } = open(t);
  connection.close();
  peer.close();
  await until('closed', () => openDescriptors() === before);
  t.pass('closed');
});
