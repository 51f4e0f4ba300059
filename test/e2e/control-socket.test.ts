// CS rows of framing, negotiation and order: what a front-end may say on the socket, and when.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import {
  encodeFrontendRequest,
  encodeMessage,
  encodeRequest,
  FRONTEND_REQUESTS,
  fdBounds,
  type LengthRule,
  PAYLOAD_BYTES_MAX,
  payloadCodec,
  type RequestRow,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { BlkDriver, type TestFrontend } from '../../src/testing/index.js';
import {
  type Answer,
  ask,
  checkClean,
  checkHealthy,
  ends,
  outcome,
  pause,
  postWrites,
  type Row,
  reach,
  runRows,
  type Scene,
  withDaemon,
} from './support.js';

const REQUESTS = FRONTEND_REQUESTS as unknown as readonly RequestRow[];
const GET_FEATURES = 1;
const SET_FEATURES = 2;
const ACK = { needReply: true };
const NO_ACK = { needReply: false };
const NONE = new Uint8Array(0);
const getFeatures = encodeRequest(GET_FEATURES, NONE, NO_ACK);
const REPLY_BYTES = 20;

const u64 = (value: bigint) => payloadCodec('u64').encode(value);
const replyAck = u64(VHOST_USER_PROTOCOL_F_REPLY_ACK);

/** Waits for `bytes` from a plain socket, or for its end: what came. */
async function readBytes(socket: Socket, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  while (length < bytes && !socket.readableEnded) {
    const part = socket.read() as Buffer | null;
    if (part !== null) {
      parts.push(part);
      length += part.length;
      continue;
    }
    await Promise.race([once(socket, 'readable'), once(socket, 'end'), once(socket, 'close')]);
    if (socket.destroyed) {
      break;
    }
  }
  return Buffer.concat(parts);
}

async function plain(scene: Scene): Promise<Socket> {
  const socket = connect({ path: scene.daemon.socket, allowHalfOpen: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

const IOTLB_MSG = 22;
const IOTLB_BYTES = 32;
/** Permission at byte 24, type at byte 25. */
const IOTLB_MESSAGES: readonly (readonly [string, (entry: DataView) => void])[] = [
  ['an update without ACCESS_PLATFORM', (entry) => entry.setUint16(24, 0x0203, true)],
  ['an invalidation while running', (entry) => entry.setUint8(25, 3)],
  [
    'outside of everything',
    (entry) => {
      entry.setBigUint64(0, 2n ** 64n - 1n, true);
      entry.setBigUint64(8, 2n ** 64n - 1n, true);
      entry.setUint16(24, 0x0203, true);
    },
  ],
  ['type 0', () => {}],
  ['type 255', (entry) => entry.setUint8(25, 255)],
];

/** A legal payload of zeroes and as many descriptors as the request wants. */
function smallest(row: RequestRow): { bytes: Uint8Array; fdCount: number } {
  const rule = payloadCodec(row.payload).lengths;
  const length = 'oneOf' in rule ? (rule.oneOf[0] as number) : rule.minBytes;
  return { bytes: new Uint8Array(length), fdCount: fdBounds(row).min };
}

function illegal(rule: LengthRule): number[] {
  if ('minBytes' in rule) {
    return [0, rule.minBytes - 1];
  }
  const near = rule.oneOf.flatMap((length) => [length - 1, length + 1]);
  return [...new Set([0, ...near])].filter((n) => n >= 0 && !rule.oneOf.includes(n));
}

/** How this request is refused when a reply is possible. */
function refusal(row: RequestRow): Answer {
  return row.reply.refusal === 'close' ? 'CLOSE' : 'NACK';
}

const says =
  (message: Uint8Array, fds: readonly number[] = []) =>
  async (frontend: TestFrontend) =>
    (await ask(frontend, message, fds)).answer;

t.test('a stream in pieces', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const setFeatures = Buffer.from(encodeRequest(SET_FEATURES, u64(0n), NO_ACK));
    for (let bytes = 1; bytes < 12; bytes++) {
      const socket = await plain(scene);
      socket.end(setFeatures.subarray(0, bytes));
      t.equal((await readBytes(socket, 1)).length, 0, `CS-001: closed after ${bytes} bytes`);
      socket.destroy();
      await checkClean(t, scene, 'CS-001');
    }
    const socket = await plain(scene);
    const request = encodeFrontendRequest(
      'SET_PROTOCOL_FEATURES',
      VHOST_USER_PROTOCOL_F_REPLY_ACK,
      NO_ACK,
    );
    for (const byte of [...request, ...getFeatures]) {
      socket.write(Uint8Array.of(byte));
      await pause(1);
    }
    t.equal((await readBytes(socket, REPLY_BYTES)).length, REPLY_BYTES, 'CS-002, CS-003');
    const numbers = encodeRequest(17, NONE, NO_ACK);
    socket.write(Buffer.concat([getFeatures, numbers, getFeatures]));
    const replies = await readBytes(socket, 3 * REPLY_BYTES);
    const ids = [0, 1, 2].map((i) => replies.readUInt32LE(i * REPLY_BYTES));
    t.same(ids, [1, 17, 1], 'CS-004: several messages in one write, in order');
    socket.end(getFeatures);
    const last = await readBytes(socket, REPLY_BYTES + 1);
    t.equal(last.length, REPLY_BYTES, 'CS-020: half closed: the reply, then the end');
    socket.destroy();
    await checkHealthy(t, scene, 'a stream in pieces');
  });
});

t.test('broken frames', async (t) => {
  const header = (request: number, flags: number, size: number) => {
    const bytes = encodeMessage({ request, flags, payload: NONE });
    new DataView(bytes.buffer).setUint32(8, size, true);
    return bytes;
  };
  const rows: Row[] = [
    ...[PAYLOAD_BYTES_MAX + 1, 64 << 10, 2 ** 31, 2 ** 32 - 1].map(
      (size): Row => ({
        id: `CS-007: size ${size}`,
        stage: 'connected',
        expect: 'CLOSE',
        // Nothing follows: a daemon that wanted the payload would wait and not close.
        send: async ({ frontend }) => {
          frontend.sendRaw(header(SET_FEATURES, 1, size));
          return (await ends(frontend)) ? 'CLOSE' : 'SILENT';
        },
      }),
    ),
    ...[0, 2, 3].map(
      (version): Row => ({
        id: `CS-011: version ${version}`,
        stage: 'connected',
        expect: 'CLOSE',
        send: says(header(GET_FEATURES, version, 0)),
      }),
    ),
    { id: 'CS-012: a reply', expect: 'CLOSE', send: says(header(GET_FEATURES, 5, 0)) },
    ...[4, 8, 16, 31].map(
      (bit): Row => ({
        id: `CS-013: flag bit ${bit}`,
        expect: 'CLOSE',
        send: says(header(GET_FEATURES, (1 | (2 ** bit)) >>> 0, 0)),
      }),
    ),
  ];
  await withDaemon(t, [], async (scene) => {
    await runRows(t, scene, rows);
    t.ok(scene.daemon.alive);
  });
});

t.test('descriptors in the wrong place', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const eventfd = native.eventfdCreate(0);
    await runRows(t, scene, [
      {
        id: 'CS-005: with the payload',
        expect: 'CLOSE',
        send: async ({ frontend }) => {
          const message = encodeFrontendRequest('SET_VRING_CALL', { index: 0, hasFd: true }, ACK);
          frontend.sendRaw(message.subarray(0, 12));
          frontend.sendRaw(message.subarray(12), [eventfd]);
          return (await ends(frontend)) ? 'CLOSE' : 'SILENT';
        },
      },
      {
        id: 'CS-006: behind a message without',
        expect: 'WORK',
        send: async (frontend) => {
          frontend.frontend.sendRaw(encodeRequest(SET_FEATURES, u64(frontend.features), NO_ACK));
          return await outcome(frontend.frontend.setVringCall(0, eventfd));
        },
      },
    ]);
    native.fdClose(eventfd);
  });
});

t.test('requests of a wrong length, id or state', async (t) => {
  const eventfd = native.eventfdCreate(0);
  const withFds = (count: number) => new Array<number>(count).fill(eventfd);
  const rows: Row[] = [];
  for (const row of REQUESTS) {
    const { bytes, fdCount } = smallest(row);
    for (const length of illegal(payloadCodec(row.payload).lengths).slice(0, 4)) {
      rows.push({
        id: `CS-008..010: ${row.name} with ${length} bytes`,
        stage: 'acked',
        expect: refusal(row),
        send: says(encodeRequest(row.id, new Uint8Array(length), ACK), withFds(fdCount)),
      });
    }
    if (row.needs !== 0n && row.name !== 'GET_QUEUE_NUM') {
      rows.push({
        id: `CS-015: ${row.name}`,
        expect: refusal(row),
        options: { withoutProtocolFeatures: ~VHOST_USER_PROTOCOL_F_REPLY_ACK },
        send: says(encodeRequest(row.id, bytes, ACK), withFds(fdCount)),
      });
    }
  }
  for (const id of [0, 45, 46, 100, 1002, 2 ** 31, 2 ** 32 - 1]) {
    rows.push({
      id: `CS-014: request ${id}, its payload is read`,
      stage: 'acked',
      expect: 'NACK',
      send: says(encodeMessage({ request: id, flags: 9, payload: new Uint8Array(100) })),
    });
  }
  const options = {
    withoutProtocolFeatures: VHOST_USER_PROTOCOL_F_PAGEFAULT,
    withoutFeatures: VIRTIO_F_ACCESS_PLATFORM,
  };
  for (const name of ['POSTCOPY_ADVISE', 'POSTCOPY_LISTEN', 'POSTCOPY_END'] as const) {
    const message = encodeFrontendRequest(name, undefined, ACK);
    rows.push({ id: `CS-086: ${name}`, expect: 'NACK', options, send: says(message) });
  }
  for (const [what, change] of IOTLB_MESSAGES) {
    const entry = new Uint8Array(IOTLB_BYTES);
    change(new DataView(entry.buffer));
    const message = encodeRequest(IOTLB_MSG, entry, ACK);
    const stage = 'running';
    rows.push({ id: `CS-087: ${what}`, stage, expect: 'NACK', options, send: says(message) });
  }
  await withDaemon(t, [], (scene) => runRows(t, scene, rows));
  native.fdClose(eventfd);
});

t.test('each request first, and each with NEED_REPLY', async (t) => {
  const eventfd = native.eventfdCreate(0);
  await withDaemon(t, [], async (scene) => {
    for (const row of REQUESTS) {
      const { bytes, fdCount } = smallest(row);
      const fds = new Array<number>(fdCount).fill(eventfd);
      const first = await reach(scene, 'connected');
      await ask(first, encodeRequest(row.id, bytes, NO_ACK), fds);
      first.close();
      await checkClean(t, scene, `CS-056: ${row.name}`);
      const frontend = await reach(scene, 'negotiated');
      // Zero would take REPLY_ACK back, and the reply with it.
      const payload = row.name === 'SET_PROTOCOL_FEATURES' ? replyAck : bytes;
      const asked = await ask(frontend, encodeRequest(row.id, payload, ACK), fds);
      t.equal(asked.replies, asked.answer === 'CLOSE' ? 0 : 1, `CS-058: ${row.name}`);
      frontend.close();
      await checkClean(t, scene, `CS-058: ${row.name}`);
    }
    await checkHealthy(t, scene, 'CS-056, CS-058');
  });
  native.fdClose(eventfd);
});

t.test('a front-end that never reads its replies', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const fd = native.socketConnect(scene.daemon.socket);
    const flood = Buffer.concat(new Array<Uint8Array>(512).fill(getFeatures));
    const noFds = new Int32Array(0);
    const endMs = performance.now() + 5000;
    let sent = 0;
    let closed = false;
    while (!closed && performance.now() < endMs) {
      const got = native.socketSend(fd, flood, sent % 12, flood.length - (sent % 12), noFds, 0);
      closed = got === -32 || got === -104; // EPIPE, ECONNRESET
      sent += Math.max(got, 0);
      await pause(1);
    }
    t.ok(closed, 'CS-017: closed once the queue of replies is full');
    native.fdClose(fd);
    await checkHealthy(t, scene, 'CS-017');
    const gone = await plain(scene);
    gone.write(Buffer.concat(new Array<Uint8Array>(64).fill(getFeatures)));
    gone.destroy();
    await checkHealthy(t, scene, 'CS-019');
  });
});

/** The messages of a whole start, as QEMU sends them. */
function startSequence({ memory }: TestFrontend, eventfd: number): [Uint8Array, number[]][] {
  const user = memory.userBase;
  const state = { index: 0, num: 128 };
  const word = { index: 0, hasFd: true };
  const addresses = {
    index: 0,
    flags: 0,
    descriptorAddress: user,
    availableAddress: user + 4096n,
    usedAddress: user + 8192n,
    logAddress: 0n,
  };
  const features = VIRTIO_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES;
  return [
    [getFeatures, []],
    [encodeRequest(15, NONE, NO_ACK), []],
    [encodeRequest(16, replyAck, NO_ACK), []],
    [encodeRequest(3, NONE, ACK), []],
    [encodeRequest(SET_FEATURES, u64(features), ACK), []],
    [encodeFrontendRequest('SET_MEM_TABLE', { regions: [memory.region] }, ACK), [memory.fd]],
    [encodeFrontendRequest('SET_VRING_NUM', state, ACK), []],
    [encodeFrontendRequest('SET_VRING_BASE', { index: 0, num: 0 }, ACK), []],
    [encodeFrontendRequest('SET_VRING_ADDR', addresses, ACK), []],
    [encodeFrontendRequest('SET_VRING_CALL', word, ACK), [eventfd]],
    [encodeFrontendRequest('SET_VRING_ERR', word, ACK), [eventfd]],
    [encodeFrontendRequest('SET_VRING_KICK', word, ACK), [eventfd]],
    [encodeFrontendRequest('SET_VRING_ENABLE', { index: 0, num: 1 }, ACK), []],
    [encodeFrontendRequest('GET_VRING_BASE', { index: 0, num: 0 }, NO_ACK), []],
  ];
}

t.test('comings and goings', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const eventfd = native.eventfdCreate(0);
    const counted = scene.connect();
    const count = startSequence(counted, eventfd).length;
    counted.close();
    await checkClean(t, scene, 'CS-021');
    for (let upTo = 0; upTo < count; upTo++) {
      for (const cut of [0, 5, 12, 15]) {
        const frontend = scene.connect({ memoryBytes: 64 << 10 });
        const sequence = startSequence(frontend, eventfd);
        for (const [bytes, fds] of sequence.slice(0, upTo)) {
          frontend.frontend.sendRaw(bytes, fds);
        }
        const [bytes, fds] = sequence[upTo] as [Uint8Array, number[]];
        if (cut > 0) {
          frontend.frontend.sendRaw(bytes.subarray(0, cut), fds);
        }
        frontend.close();
        await checkClean(t, scene, `CS-021: after ${upTo} messages and ${cut} bytes`);
      }
    }
    native.fdClose(eventfd);
    await checkHealthy(t, scene, 'CS-021');
    const first = await scene.start();
    const second = scene.connect();
    t.ok(await ends(second.frontend), 'CS-022: a second front-end is turned away');
    second.close();
    await new BlkDriver(first).write(0, new Uint8Array(512).fill(7));
    first.close();
    await checkHealthy(t, scene, 'CS-022: the first goes on');
  });
});

/** In-band notifications build on REPLY_ACK: without it they must go too. */
const REPLY_ACK_AND_USERS =
  VHOST_USER_PROTOCOL_F_REPLY_ACK | VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS;

t.test('features', async (t) => {
  const { needReply } = ACK;
  const features = (change: (features: bigint) => bigint) => (frontend: TestFrontend) =>
    outcome(frontend.frontend.setFeatures(change(frontend.features)));
  const protocol = (bits: bigint) => (frontend: TestFrontend) =>
    outcome(frontend.frontend.setProtocolFeatures(bits));
  const rows: Row[] = [
    { id: 'CS-050: bit 63', expect: 'NACK', send: features((f) => f | (1n << 63n)) },
    { id: 'CS-050: in order', expect: 'NACK', send: features((f) => f | VIRTIO_F_IN_ORDER) },
    { id: 'CS-051: no VERSION_1', expect: 'NACK', send: features((f) => f & ~VIRTIO_F_VERSION_1) },
    {
      id: 'CS-052: while started',
      stage: 'running',
      expect: 'NACK',
      send: features((f) => f & ~VIRTIO_F_RING_EVENT_IDX),
    },
    { id: 'CS-052: unchanged', stage: 'running', expect: 'WORK', send: features((f) => f) },
    { id: 'CS-053: bit 63', stage: 'acked', expect: 'NACK', send: protocol(1n << 63n) },
    {
      id: 'CS-054: before GET',
      stage: 'connected',
      expect: 'SILENT',
      send: says(encodeRequest(16, u64(VHOST_USER_PROTOCOL_F_MQ), NO_ACK)),
    },
    {
      id: 'CS-055: in-band notifications alone',
      stage: 'acked',
      expect: ['NACK', 'CLOSE'],
      send: protocol(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS),
    },
    {
      id: 'CS-059: NEED_REPLY without REPLY_ACK',
      expect: 'SILENT',
      options: { withoutProtocolFeatures: REPLY_ACK_AND_USERS },
      send: says(encodeRequest(3, NONE, { needReply })),
    },
    {
      id: 'CS-059: a refusal without REPLY_ACK',
      expect: 'CLOSE',
      options: {
        withoutProtocolFeatures: REPLY_ACK_AND_USERS | VHOST_USER_PROTOCOL_F_CONFIG,
      },
      send: says(encodeRequest(SET_FEATURES, u64(1n << 63n), { needReply })),
    },
    {
      id: 'CS-057: SET_OWNER twice',
      expect: 'WORK',
      send: ({ frontend }) => outcome(frontend.setOwner()),
    },
  ];
  await withDaemon(t, [], (scene) => runRows(t, scene, rows));
});

t.test('CS-057: resets with requests in flight', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const resets: [string, (frontend: TestFrontend) => Promise<unknown>, boolean][] = [
      ['RESET_DEVICE', ({ frontend }) => frontend.resetDevice(), true],
      ['SET_STATUS 0', ({ frontend }) => frontend.setStatus(0), true],
      ['RESET_OWNER', ({ frontend }) => frontend.request('RESET_OWNER', undefined), false],
    ];
    for (const [name, reset, drains] of resets) {
      const frontend = await scene.start();
      postWrites(frontend, 16);
      await reset(frontend);
      const { ring } = frontend.queue(0);
      if (drains) {
        const used = ring.publishedUsed;
        await pause(20);
        t.equal(ring.publishedUsed, used, `${name}: nothing comes back afterwards`);
        t.equal(await frontend.frontend.getVringBase(0), used, `${name}: drained`);
      }
      frontend.close();
      await checkClean(t, scene, name);
    }
    await checkHealthy(t, scene, 'CS-057');
  });
});
