// Requests whose replies vary by back-end or carry descriptors.

import t from 'tap';
import type { VhostUserFrontend } from '../../../src/core/frontend/index.js';
import {
  type FrontendRequestName,
  type Inflight,
  payloadCodec,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
} from '../../../src/core/protocol/index.js';
import { native } from '../../../src/native/index.js';
import { answer, next, pair, u64 } from '../../support/frontend-pair.js';
import { memfd, openDescriptors } from '../../support/resources.js';

const LOG_BYTES = 4096;
const fd = memfd(LOG_BYTES);
t.teardown(() => native.fdClose(fd));

const word = (value: number) => Buffer.from(u64(BigInt(value))).toString('hex');
const LAYOUT = { mmapSizeBytes: 8192n, mmapOffsetBytes: 0n, queueCount: 2, queueSize: 128 };
const inflight = (encodedBytes: Inflight['encodedBytes']) =>
  payloadCodec('inflight').encode({ ...LAYOUT, encodedBytes });
const REGION = { guestAddress: 1n, sizeBytes: 2n, userAddress: 3n, mmapOffsetBytes: 4n };

t.test('SET_LOG_BASE: replies of all peers', async (t) => {
  const area = { mmapSizeBytes: BigInt(LOG_BYTES), mmapOffsetBytes: 0n };
  const rows: [what: string, reply: Uint8Array, fine: boolean][] = [
    ['the text: 0', u64(0n), true],
    ['nothing (DPDK)', new Uint8Array(0), true],
    ['the area (rust-vmm)', payloadCodec('logBase').encode({ form: 'area', ...area }), true],
    ['its first word (old libvhost-user)', u64(BigInt(LOG_BYTES)), true],
    ['a refusal', u64(1n), false],
  ];
  for (const [what, reply, fine] of rows) {
    const { frontend, peer } = pair(t);
    const set = frontend.setLogBase(area, fd);
    const asked = await answer(peer, 'SET_LOG_BASE', reply);
    t.same([asked.hex, asked.fdCount], [`${word(LOG_BYTES)}${word(0)}`, 1]);
    await (fine ? t.resolves(set, what) : t.rejects(set, { code: 'PEER_REFUSED' }, what));
  }
});

t.test('SET_LOG_BASE: the forms of a log', async (t) => {
  const { frontend, peer } = pair(t);
  const whole = frontend.setLogBase(0n, fd);
  t.equal((await answer(peer, 'SET_LOG_BASE')).hex, `${word(LOG_BYTES)}${word(0)}`, 'the file');
  await whole;
  await t.rejects(frontend.setLogBase({ mmapSizeBytes: 1n, mmapOffsetBytes: 0n }), {
    code: 'LOG_ADDRESS',
  });
  const plain = pair(t, 0n);
  await plain.frontend.setLogBase(0x1234n);
  t.equal(Buffer.from((await next(plain.peer)).payload).toString('hex'), word(0x1234));
  await t.rejects(plain.frontend.setLogBase(0n, fd), { code: 'NOT_NEGOTIATED' });
  const poked = frontend.setLogFd(fd);
  t.same([(await answer(peer, 'SET_LOG_FD')).fdCount, await poked], [1, undefined]);
});

t.test('inflight areas of 20 and of 24 bytes', async (t) => {
  for (const encodedBytes of [20, 24] as const) {
    const { frontend, peer } = pair(t);
    const got = frontend.getInflightFd(2, 128, { encodedBytes });
    const asked = await answer(peer, 'GET_INFLIGHT_FD', inflight(encodedBytes), [fd]);
    t.equal(asked.hex.length, 2 * encodedBytes);
    const { fd: theirs, area } = await got;
    t.same(area, { ...LAYOUT, encodedBytes });
    native.fdClose(theirs);
    const set = frontend.setInflightFd({ area, fd });
    const given = await answer(peer, 'SET_INFLIGHT_FD');
    t.same(given.hex, Buffer.from(inflight(encodedBytes)).toString('hex'));
    t.equal(given.fdCount, 1);
    await set;
  }
});

t.test('device state: through our descriptor, or the back-end’s own', async (t) => {
  const rows: [what: string, reply: bigint, fds: number[], result: 'own' | 'ours' | 'refused'][] = [
    ['use yours', 0x100n, [], 'ours'],
    ['use mine', 0n, [fd], 'own'],
    ['no', 0x101n, [], 'refused'],
    ['no, with a descriptor', 1n, [fd], 'refused'],
  ];
  for (const [what, reply, fds, result] of rows) {
    const { frontend, peer } = pair(t);
    const before = openDescriptors();
    const set = frontend.setDeviceStateFd('load', fd);
    const asked = await answer(peer, 'SET_DEVICE_STATE_FD', u64(reply), fds);
    t.same([asked.hex, asked.fdCount], ['0100000000000000', 1], what);
    if (result === 'refused') {
      await t.rejects(set, { code: 'PEER_REFUSED' }, what);
    } else {
      const own = await set;
      t.equal(own !== undefined, result === 'own', what);
      if (own !== undefined) {
        native.fdClose(own);
      }
    }
    t.equal(openDescriptors(), before, `${what}: nothing left open`);
  }
  const { frontend, peer } = pair(t);
  const checked = frontend.checkDeviceState();
  await answer(peer, 'CHECK_DEVICE_STATE', u64(1n));
  await t.rejects(checked, { code: 'PEER_REFUSED' });
});

t.test('postcopy', async (t) => {
  const { frontend, peer } = pair(t);
  const advised = frontend.postcopyAdvise();
  await answer(peer, 'POSTCOPY_ADVISE', new Uint8Array(0), [fd]);
  native.fdClose(await advised);
  const listening = frontend.postcopyListen();
  t.equal((await answer(peer, 'POSTCOPY_LISTEN')).flags, 9);
  await listening;
  const moved = { ...REGION, userAddress: 99n };
  const table = frontend.postcopySetMemTable([{ ...REGION, mmapHandle: fd }]);
  const asked = await answer(
    peer,
    'SET_MEM_TABLE',
    payloadCodec('memTable').encode({ regions: [moved] }),
  );
  t.same([asked.flags, asked.fdCount], [1, 1], 'without NEED_REPLY');
  t.same(await table, [moved]);
  const added = frontend.postcopyAddMemRegion(REGION, fd);
  await answer(peer, 'ADD_MEM_REG', payloadCodec('singleRegion').encode(moved));
  t.same(await added, moved);
  await frontend.postcopyAcknowledge('SET_MEM_TABLE');
  const acknowledged = await next(peer);
  t.same([acknowledged.header.request, acknowledged.payload], [5, new Uint8Array(8)]);
  const ended = frontend.postcopyEnd();
  await answer(peer, 'POSTCOPY_END');
  await ended;
});

t.test('replies without the descriptor they are for', async (t) => {
  const rows: [FrontendRequestName, Uint8Array, (f: VhostUserFrontend) => Promise<unknown>][] = [
    ['POSTCOPY_ADVISE', new Uint8Array(0), (f) => f.postcopyAdvise()],
    ['GET_INFLIGHT_FD', inflight(24), (f) => f.getInflightFd(1, 1)],
  ];
  for (const [name, reply, call] of rows) {
    const { frontend, peer } = pair(t);
    const asked = call(frontend);
    await answer(peer, name, reply);
    await t.rejects(asked, { code: 'PEER_REFUSED', message: /without a descriptor/ }, name);
  }
  const { frontend } = pair(t, VHOST_USER_PROTOCOL_F_PAGEFAULT);
  await t.rejects(frontend.postcopyListen(), { code: 'NOT_NEGOTIATED' }, 'REPLY_ACK');
});
