// Each request against a scripted back-end: what it puts on the wire and what it makes of the
// answer. Against real back-ends the front-end runs in every end-to-end test.

import t from 'tap';
import { Connection } from '../../../src/core/connection/connection.js';
import type { VhostUserFrontend } from '../../../src/core/frontend/index.js';
import {
  encodeBackendRequest,
  type FrontendRequestName,
  IOTLB_PERM_READ,
  IOTLB_TYPE_UPDATE,
  payloadCodec,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../../src/core/protocol/index.js';
import { native } from '../../../src/native/index.js';
import { answer, next, pair, u64 } from '../../support/frontend-pair.js';
import { eventfd, openDescriptors } from '../../support/resources.js';

const fd = eventfd();
t.teardown(() => native.fdClose(fd));

const UUID = '00112233-4455-6677-8899-aabbccddeeff';
const REGION = {
  guestAddress: 0x1000n,
  sizeBytes: 0x2000n,
  userAddress: 0x3000n,
  mmapOffsetBytes: 0n,
  mmapHandle: fd,
};
const REGION_HEX = '00100000000000000020000000000000003000000000000000000000 00000000'.replace(
  ' ',
  '',
);
const VRING = {
  queueMaxSize: 256,
  queueSize: 128,
  flags: 0,
  descTableAddress: 0x10n,
  usedRingAddress: 0x20n,
  availRingAddress: 0x30n,
};
const word = (value: number) => Buffer.from(u64(BigInt(value))).toString('hex');
const config = (bytes: Uint8Array) => payloadCodec('config').encode({ offset: 2, flags: 0, bytes });

interface Case {
  readonly name: FrontendRequestName;
  readonly call: (frontend: VhostUserFrontend) => Promise<unknown>;
  readonly hex?: string;
  readonly fds?: number;
  readonly reply?: Uint8Array;
  readonly result?: unknown;
}

const CASES: readonly Case[] = [
  { name: 'GET_FEATURES', call: (f) => f.getFeatures(), reply: u64(5n), result: 5n },
  { name: 'SET_FEATURES', call: (f) => f.setFeatures(3n), hex: word(3) },
  { name: 'SET_OWNER', call: (f) => f.setOwner() },
  { name: 'RESET_OWNER', call: (f) => f.resetOwner() },
  {
    name: 'SET_MEM_TABLE',
    call: (f) => f.setMemTable([REGION]),
    hex: `${word(1)}${REGION_HEX}`,
    fds: 1,
  },
  {
    name: 'SET_MEM_TABLE',
    call: (f) => f.setMemTable([REGION], [fd, fd]),
    hex: `${word(1)}${REGION_HEX}`,
    fds: 2,
  },
  { name: 'SET_VRING_NUM', call: (f) => f.setVringNum(1, 2), hex: '0100000002000000' },
  {
    name: 'SET_VRING_ADDR',
    call: (f) => f.setVringAddr(2, { ...VRING, flags: 1, logAddress: 0x40n }),
    hex: `0200000001000000${word(0x10)}${word(0x20)}${word(0x30)}${word(0x40)}`,
  },
  { name: 'SET_VRING_BASE', call: (f) => f.setVringBase(1, 0x80008000), hex: '0100000000800080' },
  {
    name: 'GET_VRING_BASE',
    call: (f) => f.getVringBase(1),
    hex: '0100000000000000',
    reply: Buffer.from('0100000007000000', 'hex'),
    result: 7,
  },
  {
    name: 'GET_VRING_BASE',
    call: (f) => f.getVringBase(1, { suspend: true }),
    hex: '0100000001000000',
    reply: Buffer.from('0100000007000000', 'hex'),
    result: 7,
  },
  { name: 'SET_VRING_KICK', call: (f) => f.setVringKick(3, fd), hex: word(3), fds: 1 },
  { name: 'SET_VRING_CALL', call: (f) => f.setVringCall(3, undefined), hex: word(0x103) },
  { name: 'SET_VRING_ERR', call: (f) => f.setVringErr(0, fd), hex: word(0), fds: 1 },
  {
    name: 'GET_PROTOCOL_FEATURES',
    call: (f) => f.getProtocolFeatures(),
    reply: u64(9n),
    result: 9n,
  },
  { name: 'SET_PROTOCOL_FEATURES', call: (f) => f.setProtocolFeatures(8n), hex: word(8) },
  { name: 'GET_QUEUE_NUM', call: (f) => f.getQueueNum(), reply: u64(4n), result: 4n },
  { name: 'SET_VRING_ENABLE', call: (f) => f.setVringEnable(1, true), hex: '0100000001000000' },
  {
    name: 'SEND_RARP',
    call: (f) => f.sendRarp(Uint8Array.of(2, 0, 0, 0, 0, 1)),
    hex: '0200000000010000',
  },
  { name: 'NET_SET_MTU', call: (f) => f.setNetMtu(1500), hex: word(1500) },
  { name: 'SET_BACKEND_REQ_FD', call: (f) => f.setBackendReqFd(fd), fds: 1 },
  {
    name: 'IOTLB_MSG',
    call: (f) =>
      f.sendIotlb({
        iova: 1n,
        sizeBytes: 2n,
        userAddress: 3n,
        perm: IOTLB_PERM_READ,
        type: IOTLB_TYPE_UPDATE,
      }),
    hex: `${word(1)}${word(2)}${word(3)}0102000000000000`,
  },
  { name: 'SET_VRING_ENDIAN', call: (f) => f.setVringEndian(1, 'big'), hex: '0100000001000000' },
  {
    name: 'GET_CONFIG',
    call: (f) => f.getConfig(2, 3),
    hex: '020000000300000000000000000000',
    reply: config(Uint8Array.of(7, 8, 9)),
    result: Uint8Array.of(7, 8, 9),
  },
  {
    name: 'SET_CONFIG',
    call: (f) => f.setConfig(32, Uint8Array.of(1)),
    hex: '20000000010000000000000001',
  },
  {
    name: 'CREATE_CRYPTO_SESSION',
    call: (f) => f.createCryptoSession(new Uint8Array(8)),
    hex: word(0),
    reply: u64(77n),
    result: u64(77n),
  },
  { name: 'CLOSE_CRYPTO_SESSION', call: (f) => f.closeCryptoSession(77n), hex: word(77) },
  { name: 'GPU_SET_SOCKET', call: (f) => f.setGpuSocket(fd), fds: 1 },
  { name: 'RESET_DEVICE', call: (f) => f.resetDevice() },
  { name: 'VRING_KICK', call: (f) => f.kickVring(2), hex: '0200000000000000' },
  { name: 'GET_MAX_MEM_SLOTS', call: (f) => f.getMaxMemSlots(), reply: u64(509n), result: 509n },
  {
    name: 'ADD_MEM_REG',
    call: (f) => f.addMemRegion(REGION, fd),
    hex: `${word(0)}${REGION_HEX}`,
    fds: 1,
  },
  { name: 'REM_MEM_REG', call: (f) => f.removeMemRegion(REGION), hex: `${word(0)}${REGION_HEX}` },
  { name: 'SET_STATUS', call: (f) => f.setStatus(15), hex: word(15) },
  { name: 'GET_STATUS', call: (f) => f.getStatus(), reply: u64(11n), result: 11 },
  {
    name: 'GET_SHMEM_CONFIG',
    call: (f) => f.getShmemConfig(),
    reply: payloadCodec('shmemConfig').encode({ regions: [{ shmemId: 3, sizeBytes: 4096n }] }),
    result: [{ shmemId: 3, sizeBytes: 4096n }],
  },
  {
    name: 'GET_SHARED_OBJECT',
    call: (f) => f.getSharedObject(UUID),
    hex: UUID.replaceAll('-', ''),
    reply: new Uint8Array(0),
    result: undefined,
  },
];

t.test('every request: bytes, descriptors, result', async (t) => {
  for (const { name, call, hex = '', fds = 0, reply, result } of CASES) {
    const { frontend, peer } = pair(t);
    const [asked, got] = await Promise.all([answer(peer, name, reply), call(frontend)]);
    t.same([asked.hex, asked.fdCount, asked.flags], [hex, fds, 9], `${name} ${call}`);
    t.same(got, result, `${name}: result`);
  }
});

t.test('without REPLY_ACK only what is always answered is waited for', async (t) => {
  const { frontend, peer } = pair(t, 0n);
  await frontend.setOwner();
  t.equal((await next(peer)).header.needReply, false);
  frontend.protocolFeatures = VHOST_USER_PROTOCOL_F_REPLY_ACK;
  const refused = frontend.setVringNum(0, 3);
  await answer(peer, 'SET_VRING_NUM', u64(1n));
  await t.rejects(refused, { code: 'PEER_REFUSED' });
});

t.test('GET_CONFIG is refused in two ways, and may not be short', async (t) => {
  const rows: [what: string, reply: Uint8Array, code: string][] = [
    ['libvhost-user', new Uint8Array(0), 'PEER_REFUSED'],
    ['rust-vmm', config(new Uint8Array(0)), 'PEER_REFUSED'],
    ['short', config(new Uint8Array(2)), 'PAYLOAD_SIZE'],
    ['a head that lies', config(new Uint8Array(3)).subarray(0, 14), 'PAYLOAD_SIZE'],
  ];
  for (const [what, reply, code] of rows) {
    const { frontend, peer } = pair(t);
    const asked = frontend.getConfig(2, 3);
    await answer(peer, 'GET_CONFIG', reply);
    await t.rejects(asked, { code }, what);
  }
});

t.test('a shared object comes with its descriptor', async (t) => {
  const { frontend, peer } = pair(t);
  const asked = frontend.getSharedObject(UUID);
  await answer(peer, 'GET_SHARED_OBJECT', new Uint8Array(0), [fd]);
  const object = (await asked) as number;
  t.equal(native.eventfdSignal(object), 0);
  t.ok(native.eventfdRead(fd) > 0, 'the same eventfd');
  native.fdClose(object);
});

t.test('arguments no back-end could take are not sent', async (t) => {
  const rows: [what: string, call: (f: VhostUserFrontend) => Promise<unknown>, code: string][] = [
    ['no region', (f) => f.setMemTable([]), 'INVALID_GUEST_MEMORY'],
    ['nine regions', (f) => f.setMemTable(Array(9).fill(REGION)), 'INVALID_GUEST_MEMORY'],
    ['queue', (f) => f.setVringAddr(0, { ...VRING, queueSize: 257 }), 'INVALID_QUEUE'],
    ['suspend', (f) => f.getVringBase(0, { suspend: true }), 'NOT_NEGOTIATED'],
  ];
  for (const [what, call, code] of rows) {
    const { frontend } = pair(t, 0n);
    await t.rejects(call(frontend), { code }, what);
  }
  await t.rejects(pair(t).frontend.sendRarp(new Uint8Array(5)), RangeError);
});

t.test('the back-end asks in turn', async (t) => {
  const { frontend, peer } = pair(t);
  const before = openDescriptors();
  const calls: number[] = [];
  const serving = frontend.serveBackendRequests({ vringCall: (index) => void calls.push(index) });
  const message = await peer.receive();
  const channel = new Connection(message?.fds.take() as number);
  peer.send(Buffer.from('1500000005000000080000000000000000000000', 'hex'));
  const port = await serving;
  channel.send(encodeBackendRequest('VRING_CALL', { index: 4, num: 0 }, { needReply: true }));
  t.equal((await channel.receive())?.header.request, 4);
  t.same(calls, [4]);
  const again = frontend.serveBackendRequests({});
  await answer(peer, 'SET_BACKEND_REQ_FD');
  await again;
  t.ok(port.closed, 'replaced');
  channel.close();
  frontend.close();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(openDescriptors(), before - 1, 'all closed, the connection too');
  const refused = pair(t);
  const failing = refused.frontend.serveBackendRequests({});
  await answer(refused.peer, 'SET_BACKEND_REQ_FD', u64(1n));
  await t.rejects(failing, { code: 'PEER_REFUSED' });
});
