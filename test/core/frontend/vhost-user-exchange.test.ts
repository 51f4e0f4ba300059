// Order, replies and ends of exchanges, whatever the request.

import t from 'tap';
import { encodeMessage, encodeReply } from '../../../src/core/protocol/index.js';
import { native } from '../../../src/native/index.js';
import { answer, next, pair, u64 } from '../../support/frontend-pair.js';
import { eventfd, openDescriptors } from '../../support/resources.js';

t.test('one exchange after another, however many callers', async (t) => {
  const { frontend, peer } = pair(t);
  const calls = [frontend.getFeatures(), frontend.getQueueNum(), frontend.getFeatures()];
  t.equal((await next(peer)).header.request, 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  peer.send(encodeReply(1, u64(1n)));
  t.equal((await next(peer)).header.request, 17, 'only after the first reply');
  peer.send(encodeReply(17, u64(2n)));
  await answer(peer, 'GET_FEATURES', u64(3n));
  t.same(await Promise.all(calls), [1n, 2n, 3n]);
});

t.test('a refusal does not hold up the next', async (t) => {
  const { frontend, peer } = pair(t);
  const refused = frontend.setVringNum(0, 3);
  const fine = frontend.getFeatures();
  await answer(peer, 'SET_VRING_NUM', u64(1n));
  await answer(peer, 'GET_FEATURES', u64(7n));
  await t.rejects(refused, { code: 'PEER_REFUSED' });
  t.equal(await fine, 7n);
});

t.test('protocol features are in force for the very next call', async (t) => {
  const { frontend, peer } = pair(t, 0n);
  const set = frontend.setProtocolFeatures(8n);
  const owner = frontend.setOwner();
  t.equal((await next(peer)).header.needReply, false);
  t.equal((await answer(peer, 'SET_OWNER')).flags, 9, 'NEED_REPLY');
  await Promise.all([set, owner]);
});

t.test('what was not negotiated is not sent', async (t) => {
  const { frontend, peer } = pair(t, 0n);
  await t.rejects(frontend.getConfig(0, 8), {
    code: 'NOT_NEGOTIATED',
    message: /GET_CONFIG needs VHOST_USER_PROTOCOL_F_CONFIG/,
  });
  const asked = frontend.request('GET_CONFIG', { offset: 0, flags: 0, bytes: new Uint8Array(1) });
  await answer(peer, 'GET_CONFIG', new Uint8Array(0));
  await t.rejects(asked, { code: 'PEER_REFUSED' }, 'request() sends anything');
});

t.test('answers that are none end the connection', async (t) => {
  const rows: [name: string, bytes: Uint8Array, code: string, closed: boolean][] = [
    ['another request', encodeReply(3, u64(0n)), 'UNEXPECTED_REPLY', true],
    [
      'no reply flag',
      encodeMessage({ request: 1, flags: 1, payload: u64(0n) }),
      'UNEXPECTED_REPLY',
      true,
    ],
    ['version 2', encodeMessage({ request: 1, flags: 6, payload: u64(0n) }), 'VERSION', true],
    ['empty', encodeReply(1, new Uint8Array(0)), 'PEER_REFUSED', false],
    ['short', encodeReply(1, new Uint8Array(4)), 'PAYLOAD_SIZE', false],
  ];
  for (const [name, bytes, code, closed] of rows) {
    const { frontend, peer } = pair(t);
    const asked = frontend.getFeatures();
    await next(peer);
    peer.send(bytes);
    await t.rejects(asked, { code }, name);
    t.equal(frontend.connection.closed, closed, `${name}: closed`);
  }
});

t.test('the end of the peer, and silence', async (t) => {
  const gone = pair(t);
  const asked = gone.frontend.getFeatures();
  await next(gone.peer);
  gone.peer.close();
  await t.rejects(asked, { code: 'PEER_CLOSED' });
  const silent = pair(t, 0n, { replyTimeoutMs: 30 });
  const unanswered = silent.frontend.getFeatures();
  await t.rejects(unanswered, { code: 'HANDSHAKE_TIMEOUT', message: /no reply to GET_FEATURES/ });
  await t.rejects(silent.frontend.getFeatures(), { code: 'HANDSHAKE_TIMEOUT' }, 'and it is over');
});

t.test('descriptors nobody asked for are closed', async (t) => {
  const { frontend, peer } = pair(t);
  const before = openDescriptors();
  const fd = eventfd();
  const asked = frontend.getFeatures();
  await answer(peer, 'GET_FEATURES', u64(0n), [fd]);
  await asked;
  native.fdClose(fd);
  t.equal(openDescriptors(), before);
});
