import t, { type Test } from 'tap';
import { SILENT_LOG } from '../../../src/core/log.js';
import {
  BACKEND_REQUESTS,
  encodeMessage,
  encodeReply,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../../src/core/protocol/index.js';
import { BackendChannel, OUTSTANDING_MAX } from '../../../src/core/session/backend-channel.js';
import { native } from '../../../src/native/index.js';
import { Peer } from '../../support/peer.js';
import { eventfd, openDescriptors, socketPair, until } from '../../support/resources.js';
import { toHex } from '../protocol/hex.js';

const ACK = { protocolFeatures: VHOST_USER_PROTOCOL_F_REPLY_ACK };
const NO_ACK = { protocolFeatures: 0n };
const OBJECT = { uuid: '00112233-4455-6677-8899-aabbccddeeff' };
const CONFIG_CHANGE = 2;
const LOOKUP = 8;

function open(t: Test, replyTimeoutMs = 30_000) {
  const before = openDescriptors();
  const [ours, theirs] = socketPair();
  const lines: string[] = [];
  const log = { ...SILENT_LOG, warn: (_: unknown, message: string) => void lines.push(message) };
  const channel = new BackendChannel(ours, { log, replyTimeoutMs });
  const peer = new Peer(theirs, { keepFds: true });
  t.teardown(() => {
    channel.close();
    peer.close();
    const left = openDescriptors() - before;
    if (left !== 0) {
      throw new Error(`${left} descriptors are left`);
    }
  });
  return { channel, peer, lines };
}

const word = (value: number) => Uint8Array.of(value, 0, 0, 0, 0, 0, 0, 0);
const reply = (request: number, value = 0) => encodeReply(request, word(value));

/** The code a promise rejects with; undefined when it does not. */
async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

t.test('each request on the wire, with its descriptor', async (t) => {
  const { channel, peer } = open(t);
  const fd = eventfd();
  const vring = { index: 3, num: 0 };
  const area = { index: 3, hasFd: true, sizeBytes: 4096n, offsetBytes: 8192n };
  const map = {
    shmemId: 1,
    fdOffsetBytes: 0n,
    shmemOffsetBytes: 4096n,
    lengthBytes: 8192n,
    flags: 1n,
  };
  const miss = { iova: 1n, sizeBytes: 2n, userAddress: 3n, perm: 1, type: 1 };
  const uuid = '00112233445566778899aabbccddeeff';
  const u64 = (value: string) => `${value}00000000000000`;
  const rows = [
    ['IOTLB_MSG', miss, [], undefined],
    ['CONFIG_CHANGE_MSG', undefined, [], ''],
    ['VRING_HOST_NOTIFIER_MSG', area, [fd], `${u64('03')}0010000000000000${'0020000000000000'}`],
    ['VRING_HOST_NOTIFIER_MSG', { ...area, hasFd: false }, [], undefined],
    ['VRING_CALL', vring, [], '0300000000000000'],
    ['VRING_ERR', vring, [], '0300000000000000'],
    ['SHARED_OBJECT_ADD', OBJECT, [], uuid],
    ['SHARED_OBJECT_REMOVE', OBJECT, [], uuid],
    ['SHARED_OBJECT_LOOKUP', OBJECT, [], uuid],
    [
      'SHMEM_MAP',
      map,
      [fd],
      `${u64('01')}${u64('00')}0010000000000000${'0020000000000000'}${u64('01')}`,
    ],
    ['SHMEM_UNMAP', map, [], undefined],
  ] as const;
  t.same(
    [...new Set(rows.map(([name]) => name))],
    BACKEND_REQUESTS.map(({ name }) => name),
  );
  for (const [name, payload, fds, expected] of rows) {
    const { id } = BACKEND_REQUESTS.find((row) => row.name === name) ?? { id: 0 };
    const answered = channel.request(name, payload as never, { ...ACK, fds });
    const bytes = (await peer.message()) ?? new Uint8Array(0);
    t.equal(bytes[0], id, name);
    t.equal(bytes[4], 9, 'version 1, NEED_REPLY');
    if (expected !== undefined) {
      t.equal(toHex(bytes.subarray(12)), expected, name);
    }
    const came = peer.takeFd();
    t.equal(came !== undefined, fds.length > 0, `${name}: descriptor`);
    if (came !== undefined) {
      native.fdClose(came);
    }
    peer.send(reply(id));
    t.equal(await answered, undefined);
  }
  native.fdClose(fd);
});

t.test('without REPLY_ACK only LOOKUP is answered', async (t) => {
  const { channel, peer } = open(t);
  t.equal(await channel.request('CONFIG_CHANGE_MSG', undefined, NO_ACK), undefined);
  t.equal(toHex((await peer.message()) ?? new Uint8Array(0)), '020000000100000000000000');
  const found = channel.request('SHARED_OBJECT_LOOKUP', OBJECT, NO_ACK);
  t.equal((await peer.message())?.[4], 1);
  const fd = eventfd(7);
  peer.send(reply(LOOKUP), [fd]);
  native.fdClose(fd);
  const got = (await found) as number;
  t.equal(native.eventfdRead(got), 7, 'the descriptor is the one of the reply');
  native.fdClose(got);
});

t.test('answers belong to requests in their order', async (t) => {
  const { channel, peer } = open(t);
  const first = codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, ACK));
  const second = codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, ACK));
  const third = codeOf(channel.request('SHARED_OBJECT_LOOKUP', OBJECT, ACK));
  peer.send(reply(CONFIG_CHANGE));
  peer.send(reply(CONFIG_CHANGE, 5));
  peer.send(reply(LOOKUP, 2));
  t.same(await Promise.all([first, second, third]), [undefined, 'PEER_REFUSED', 'PEER_REFUSED']);
});

t.test('a front-end that does not answer in time (CS-142)', async (t) => {
  const { channel, peer } = open(t, 20);
  const late = channel.request('SHARED_OBJECT_LOOKUP', OBJECT, ACK);
  t.equal(await codeOf(late), 'CHANNEL_TIMEOUT');
  // Its answer comes after all, with a descriptor nobody takes, and is not taken for the next one's.
  const next = channel.request('SHARED_OBJECT_LOOKUP', OBJECT, ACK);
  const fd = eventfd();
  peer.send(reply(LOOKUP), [fd]);
  peer.send(reply(LOOKUP, 1));
  t.equal(await codeOf(next), 'PEER_REFUSED');
  native.fdClose(fd);
});

t.test('requests without answer are bounded', async (t) => {
  const { channel, peer } = open(t);
  const waiting = Array.from({ length: OUTSTANDING_MAX }, () =>
    codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, ACK)),
  );
  const full = channel.request('CONFIG_CHANGE_MSG', undefined, ACK);
  t.equal(await codeOf(full), 'CHANNEL_FULL');
  t.equal(await codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, NO_ACK)), undefined);
  await peer.message();
  peer.send(reply(CONFIG_CHANGE));
  t.equal(await waiting[0], undefined);
  const fits = codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, ACK));
  channel.close();
  t.same([...new Set(await Promise.all([...waiting.slice(1), fits]))], ['CHANNEL_LOST']);
});

t.test('answers that are none end the channel and all that wait (CS-142)', async (t) => {
  const flagged = (flags: number) =>
    encodeMessage({ request: CONFIG_CHANGE, flags, payload: word(0) });
  const rows: readonly (readonly [what: string, bytes: Uint8Array, fds?: number])[] = [
    ['another request', reply(LOOKUP)],
    ['a request', flagged(1)],
    ['NEED_REPLY echoed', flagged(0xd)],
    ['version 2', flagged(6)],
    ['empty', encodeReply(CONFIG_CHANGE, new Uint8Array(0))],
    ['nine bytes', encodeReply(CONFIG_CHANGE, new Uint8Array(9))],
    ['zeroes', new Uint8Array(12)],
    ['a descriptor where none belongs', reply(CONFIG_CHANGE), 1],
  ];
  for (const [what, bytes, fdCount = 0] of rows) {
    await t.test(what, async (t) => {
      const { channel, peer, lines } = open(t);
      const waiting = [1, 2].map(() =>
        codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, ACK)),
      );
      await peer.message();
      await peer.message();
      const fds = Array.from({ length: fdCount }, () => eventfd());
      peer.send(bytes, fds);
      fds.map((fd) => native.fdClose(fd));
      t.same(await Promise.all(waiting), ['CHANNEL_LOST', 'CHANNEL_LOST']);
      t.ok(await peer.ended());
      t.same(lines, ['back-end channel lost']);
      t.equal(await codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, ACK)), 'CHANNEL_LOST');
    });
  }
});

t.test('replies nobody asked for are read and dropped (CS-142)', async (t) => {
  const { channel, peer } = open(t);
  const fd = eventfd();
  for (let i = 0; i < 5000; i++) {
    while (peer.trySend(reply(CONFIG_CHANGE), [fd]) < 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  native.fdClose(fd);
  await channel.request('CONFIG_CHANGE_MSG', undefined, NO_ACK);
  t.ok(await peer.message(), 'still works');
});

t.test('a front-end that never reads (CS-142)', async (t) => {
  const { channel, lines } = open(t);
  let code: string | undefined;
  for (let i = 0; i < 100_000 && code === undefined; i++) {
    code = await codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, NO_ACK));
  }
  t.equal(code, 'CHANNEL_LOST');
  t.same(lines, ['back-end channel lost']);
});

t.test('a front-end that hangs up', async (t) => {
  const { channel, peer } = open(t);
  const waiting = codeOf(channel.request('CONFIG_CHANGE_MSG', undefined, ACK));
  peer.close();
  t.equal(await waiting, 'CHANNEL_LOST');
  await until('closed', () => channel.closed);
});
