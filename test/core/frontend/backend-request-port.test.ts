// The ten requests of a back-end: which handler gets what, which reply goes back, and that no
// descriptor stays open.

import t, { type Test } from 'tap';
import { Connection } from '../../../src/core/connection/connection.js';
import {
  type BackendRequestHandlers,
  BackendRequestPort,
  backendRequestSockets,
} from '../../../src/core/frontend/index.js';
import {
  type BackendPayloadOf,
  type BackendRequestName,
  backendRequest,
  encodeBackendRequest,
  encodeMessage,
  encodeRequest,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_HOST_NOTIFIER,
} from '../../../src/core/protocol/index.js';
import { native } from '../../../src/native/index.js';
import { ALL_PROTOCOL_FEATURES } from '../../support/frontend-pair.js';
import { eventfd, openDescriptors, socketPair, until } from '../../support/resources.js';

const fd = eventfd();
t.teardown(() => native.fdClose(fd));
const UUID = '00112233-4455-6677-8899-aabbccddeeff';
const MAPPING = {
  shmemId: 1,
  fdOffsetBytes: 0n,
  shmemOffsetBytes: 4096n,
  lengthBytes: 4096n,
  flags: 1n,
};
const AREA = { index: 2, sizeBytes: 4096n, offsetBytes: 0n };
const IOTLB = { iova: 1n, sizeBytes: 0n, userAddress: 0n, perm: 1, type: 1 };

function channel(t: Test, handlers: BackendRequestHandlers, features = ALL_PROTOCOL_FEATURES) {
  const [ours, theirs] = socketPair();
  const port = new BackendRequestPort(ours, handlers, () => features);
  const peer = new Connection(theirs);
  t.teardown(() => {
    port.close();
    peer.close();
  });
  return { port, peer };
}

/** Sends a request; flags and word of the reply, and how many descriptors came with it. */
async function ask<N extends BackendRequestName>(
  peer: Connection,
  name: N,
  payload: BackendPayloadOf<N>,
  fds: readonly number[] = [],
) {
  peer.send(encodeBackendRequest(name, payload, { needReply: true }), fds);
  const reply = await peer.receive();
  const word = Buffer.from(reply?.payload ?? []).readBigUInt64LE();
  const count = reply?.fds.count;
  reply?.fds.close();
  return [reply?.header.request, reply?.header.flags, word, count];
}

interface Case {
  readonly name: BackendRequestName;
  readonly payload: unknown;
  readonly fds?: readonly number[];
  readonly handler: keyof BackendRequestHandlers;
  readonly args: readonly unknown[];
}

/** Stands for a descriptor: its number here is another one. */
const ANY_FD = 'a descriptor';
const CASES: readonly Case[] = [
  { name: 'IOTLB_MSG', payload: IOTLB, handler: 'iotlb', args: [IOTLB] },
  { name: 'CONFIG_CHANGE_MSG', payload: undefined, handler: 'configChanged', args: [] },
  {
    name: 'VRING_HOST_NOTIFIER_MSG',
    payload: { ...AREA, hasFd: true },
    fds: [fd],
    handler: 'vringHostNotifier',
    args: [{ ...AREA, hasFd: true }, ANY_FD],
  },
  {
    name: 'VRING_HOST_NOTIFIER_MSG',
    payload: { ...AREA, hasFd: false },
    handler: 'vringHostNotifier',
    args: [{ ...AREA, hasFd: false }, undefined],
  },
  { name: 'VRING_CALL', payload: { index: 3, num: 0 }, handler: 'vringCall', args: [3] },
  { name: 'VRING_ERR', payload: { index: 3, num: 0 }, handler: 'vringErr', args: [3] },
  { name: 'SHARED_OBJECT_ADD', payload: { uuid: UUID }, handler: 'sharedObjectAdd', args: [UUID] },
  {
    name: 'SHARED_OBJECT_REMOVE',
    payload: { uuid: UUID },
    handler: 'sharedObjectRemove',
    args: [UUID],
  },
  { name: 'SHMEM_MAP', payload: MAPPING, fds: [fd], handler: 'shmemMap', args: [MAPPING, ANY_FD] },
  { name: 'SHMEM_UNMAP', payload: MAPPING, handler: 'shmemUnmap', args: [MAPPING] },
];

t.test('each request to its handler; refused without one', async (t) => {
  for (const { name, payload, fds = [], handler, args } of CASES) {
    let got: unknown[] | undefined;
    const handlers: Record<string, unknown> = {
      [handler]: async (...given: unknown[]) => {
        got = given.map((arg) => (typeof arg === 'number' && fds.length > 0 ? ANY_FD : arg));
      },
    };
    const { peer } = channel(t, handlers);
    const before = openDescriptors();
    const { id } = backendRequest(name);
    t.same(await ask(peer, name, payload as never, fds), [id, 5, 0n, 0], name);
    t.same(got, args, `${name}: arguments`);
    const refused: unknown[] = [];
    const empty = channel(t, { refused: (request) => void refused.push(request) });
    t.same((await ask(empty.peer, name, payload as never, fds))[2], 1n, `${name}: no handler`);
    t.same(refused, [name]);
    // Two for the second channel; what came with requests is closed.
    t.equal(openDescriptors(), before + 2, `${name}: descriptors`);
  }
});

t.test('a shared object, and none', async (t) => {
  const { peer } = channel(t, {
    sharedObjectLookup: (uuid) => (uuid === UUID ? fd : undefined),
  });
  t.same(await ask(peer, 'SHARED_OBJECT_LOOKUP', { uuid: UUID }), [8, 5, 0n, 1]);
  t.ok(native.fdDuplicate(fd) >= 0, 'ours is still open');
  const other = UUID.replace('00', '01');
  t.same(await ask(peer, 'SHARED_OBJECT_LOOKUP', { uuid: other }), [8, 5, 1n, 0]);
});

t.test('what is refused does not end the channel', async (t) => {
  const refused: unknown[] = [];
  const { peer, port } = channel(
    t,
    {
      configChanged: () => {
        throw new TypeError('a bug');
      },
      vringHostNotifier: () => {},
      refused: (request, error) => void refused.push([request, (error as { code: string }).code]),
    },
    ALL_PROTOCOL_FEATURES & ~(1n << 9n),
  );
  t.equal((await ask(peer, 'CONFIG_CHANGE_MSG', undefined))[2], 1n, 'CONFIG is not negotiated');
  peer.send(encodeRequest(1006, new Uint8Array(0), { needReply: true }));
  t.equal((await peer.receive())?.header.request, 1006, 'unknown');
  peer.send(encodeRequest(4, new Uint8Array(3), { needReply: true }));
  t.equal((await peer.receive())?.header.request, 4, 'a short payload');
  t.same(refused, [
    ['CONFIG_CHANGE_MSG', 'NOT_NEGOTIATED'],
    [undefined, 'UNKNOWN_REQUEST'],
    ['VRING_CALL', 'PAYLOAD_SIZE'],
  ]);
  const buggy = channel(t, { configChanged: () => Promise.reject(new TypeError('a bug')) });
  t.equal((await ask(buggy.peer, 'CONFIG_CHANGE_MSG', undefined))[2], 1n, 'a handler that fails');
  t.equal(port.closed, false);
});

t.test('no reply without NEED_REPLY or without REPLY_ACK', async (t) => {
  const calls: number[] = [];
  const handlers = { vringCall: (index: number) => void calls.push(index) };
  const plain = channel(t, handlers);
  plain.peer.send(encodeBackendRequest('VRING_CALL', { index: 1, num: 0 }, { needReply: false }));
  t.same(await ask(plain.peer, 'VRING_CALL', { index: 2, num: 0 }), [4, 5, 0n, 0], 'only the 2nd');
  t.same(calls, [1, 2]);
  const doorbell = VHOST_USER_PROTOCOL_F_BACKEND_REQ | VHOST_USER_PROTOCOL_F_HOST_NOTIFIER;
  let taken = 0;
  const noAck = channel(t, { vringHostNotifier: () => void taken++ }, doorbell);
  const gone = { ...AREA, hasFd: false };
  noAck.peer.send(encodeBackendRequest('VRING_HOST_NOTIFIER_MSG', gone, { needReply: true }));
  await until('the notifier to be taken back', () => taken === 1);
});

t.test('what breaks the framing ends it', async (t) => {
  const rows: [what: string, bytes: Uint8Array, code: string][] = [
    [
      'a reply',
      encodeMessage({ request: 4, flags: 5, payload: new Uint8Array(8) }),
      'HEADER_FLAGS',
    ],
    ['version 2', encodeMessage({ request: 4, flags: 2, payload: new Uint8Array(8) }), 'VERSION'],
  ];
  for (const [what, bytes, code] of rows) {
    const ends: unknown[] = [];
    const { peer, port } = channel(t, { closed: (error) => void ends.push(error?.code) });
    peer.send(bytes);
    await until('the end', () => ends.length > 0);
    t.same([ends, port.closed], [[code], true], what);
  }
  const ends: unknown[] = [];
  const { peer } = channel(t, { closed: (error) => void ends.push(error) });
  peer.close();
  await until('the end', () => ends.length > 0);
  t.same(ends, [undefined], 'in order');
});

t.test('its sockets', async (t) => {
  const before = openDescriptors();
  const { ours, theirs, closeTheirs } = backendRequestSockets();
  t.equal(openDescriptors(), before + 2);
  t.not(ours, theirs);
  closeTheirs();
  native.fdClose(ours);
  t.equal(openDescriptors(), before);
});
