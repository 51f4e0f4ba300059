import t from 'tap';
import { BacklogPool } from '../../../src/devices/vsock/backlog.js';
import { SEQ_EOM, SEQ_EOR } from '../../../src/devices/vsock/format.js';
import { HostSocket, SOCK_SEQPACKET } from '../../../src/devices/vsock/host-socket.js';
import { ReceiveBuffers } from '../../../src/devices/vsock/receive-buffers.js';
import { check, native } from '../../../src/native/index.js';
import { socketPair } from '../../support/resources.js';
import { PlainContext } from '../../support/vsock-rig.js';

const HEADER = 44;
const ROOM = 1 << 20;

function rig(messages = false, backlogs = 1) {
  const [ours, peer] = socketPair();
  const context = new PlainContext();
  const pool = new BacklogPool(ROOM, backlogs);
  context.watch(ours, 5);
  return { socket: new HostSocket(context, pool, { fd: ours }, 5, messages), context, peer };
}

t.test('VS-027 what the host does not take waits, in order', async (t) => {
  const { socket, context, peer } = rig();
  const part = 100_000;
  const count = 10;
  for (let i = 0; i < count; i++) {
    context.chains.set(1, new Uint8Array(HEADER + part).fill(i + 1));
    t.ok(['sent', 'kept'].includes(socket.send(1, part, 0)));
  }
  t.ok(socket.waitingBytes > 0);
  t.ok(context.watched.get(5)?.writable, 'told when there is room');
  let at = 0;
  const to = new Uint8Array(65_536);
  while (at < count * part) {
    const got = native.hostReceive(peer, to, 0, to.byteLength, false);
    if (got < 0) {
      socket.flush();
      continue;
    }
    for (let i = 0; i < got; i++) {
      if (to[i] !== Math.floor((at + i) / part) + 1) {
        t.fail(`byte ${at + i}`);
        return;
      }
    }
    at += got;
  }
  socket.flush();
  t.notOk(context.watched.get(5)?.writable);
  socket.close(false);
  native.fdClose(peer);
});

t.test('VS-032 a host that is gone', async (t) => {
  const { socket, context, peer } = rig();
  native.fdClose(peer);
  context.chains.set(1, new Uint8Array(HEADER + 10));
  t.equal(socket.send(1, 10, 0), 'refused');
  t.ok(socket.refuses);
  const buffers = new ReceiveBuffers();
  buffers.push(1, HEADER + 10);
  t.equal(socket.receive(buffers, 1, 10, new Uint8Array(HEADER)), 0);
  t.ok(socket.ended);
  socket.close(false);
});

t.test('no buffer left for a backlog', async (t) => {
  const { socket, context, peer } = rig(false, 0);
  context.chains.set(1, new Uint8Array(HEADER + ROOM));
  t.equal(socket.send(1, ROOM, 0), 'no-room');
  socket.close(false);
  native.fdClose(peer);
});

t.test('the end comes after what waits', async (t) => {
  const { socket, context, peer } = rig();
  context.chains.set(1, new Uint8Array(HEADER + ROOM).fill(3));
  socket.send(1, ROOM, 0);
  socket.endWriting();
  let total = 0;
  const to = new Uint8Array(ROOM);
  for (;;) {
    const got = native.hostReceive(peer, to, 0, to.byteLength, false);
    if (got === 0) {
      break;
    }
    total += Math.max(got, 0);
    socket.flush();
  }
  t.equal(total, ROOM);
  socket.close(false);
  native.fdClose(peer);
});

t.test('whether the host has left, or only ended', async (t) => {
  for (const messages of [false, true]) {
    const { socket, peer } = rig(messages);
    native.hostShutdown(peer, 1);
    t.notOk(socket.left, 'it may still read');
    native.fdClose(peer);
    t.equal(socket.left, !messages);
    socket.close(false);
  }
});

t.test('between guests the end of a record is kept, also of what had to wait', async (t) => {
  const ends = new Int32Array(2);
  check('socketpair', native.hostPair(SOCK_SEQPACKET, ends));
  const context = new PlainContext();
  const pool = new BacklogPool(ROOM, 1);
  const [from, to] = [...ends].map((fd, i) => {
    context.watch(fd, i);
    return new HostSocket(context, pool, { fd, sibling: true }, i, true);
  }) as [HostSocket, HostSocket];
  const part = 50_000;
  context.chains.set(1, new Uint8Array(HEADER + part));
  const flags = [SEQ_EOM, SEQ_EOM | SEQ_EOR, SEQ_EOM | SEQ_EOR, SEQ_EOM];
  const sent = Array.from({ length: 20 }, (_, i) => flags[i % 4] as number);
  for (const flag of sent) {
    from.send(1, part, flag);
  }
  t.ok(from.waitingBytes > 0, 'some had to wait');
  const seen: number[] = [];
  while (seen.length < sent.length) {
    if (to.nextMessageBytes() === part) {
      seen.push(to.endFlags);
      t.equal(to.takeMessage(part)?.byteLength, part);
      to.messageSent();
    } else {
      from.flush();
    }
  }
  t.same(seen, sent);
  t.equal(to.nextMessageBytes(), undefined);
  from.close(false);
  t.equal(to.nextMessageBytes(), 0, 'the end is no mark');
  t.ok(to.ended);
  to.close(false);
});
