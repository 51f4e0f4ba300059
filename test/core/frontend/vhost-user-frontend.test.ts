// The front-end against a scripted peer: what it puts on the wire and what it makes of the answer.
// Against the real back-end it runs in every end-to-end test.

import t from 'tap';
import { Connection } from '../../../src/core/connection/connection.js';
import { VhostUserFrontend } from '../../../src/core/frontend/index.js';
import {
  encodeMessage,
  encodeReply,
  payloadCodec,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../../src/core/protocol/index.js';
import { check, native } from '../../../src/native/index.js';
import { socketPair } from '../../../src/testing/index.js';

const u64 = (value: bigint) => payloadCodec('u64').encode(value);

function pair(t: { teardown(fn: () => void): unknown }) {
  const [ours, theirs] = socketPair();
  const frontend = new VhostUserFrontend(ours);
  const peer = new Connection(theirs);
  t.teardown(() => {
    frontend.close();
    peer.close();
  });
  return { frontend, peer };
}

t.test('a request with an answer', async (t) => {
  const { frontend, peer } = pair(t);
  const features = frontend.getFeatures();
  const { header } = (await peer.receive()) as { header: { request: number; flags: number } };
  t.same([header.request, header.flags], [1, 1]);
  peer.send(encodeReply(1, u64(0x1234n)));
  t.equal(await features, 0x1234n);
});

t.test(
  'without REPLY_ACK nothing is waited for; with it a non-zero answer is an error',
  async (t) => {
    const { frontend, peer } = pair(t);
    await frontend.setOwner();
    t.equal((await peer.receive())?.header.needReply, false);
    frontend.protocolFeatures = VHOST_USER_PROTOCOL_F_REPLY_ACK;
    const refused = frontend.setVringNum(0, 3);
    t.equal((await peer.receive())?.header.needReply, true);
    peer.send(encodeReply(8, u64(1n)));
    await t.rejects(refused, { code: 'PEER_REFUSED' });
  },
);

t.test('descriptors travel with their message', async (t) => {
  const { frontend, peer } = pair(t);
  const fd = check('eventfd', native.eventfdCreate(0));
  t.teardown(() => native.fdClose(fd));
  await frontend.setVringKick(3, fd);
  const message = await peer.receive();
  t.equal(message?.fds.count, 1);
  t.same([...(message?.payload ?? [])], [3, 0, 0, 0, 0, 0, 0, 0]);
  message?.fds.close();
  await frontend.setVringCall(3, undefined);
  t.same([...((await peer.receive())?.payload ?? [])].slice(0, 2), [3, 1], 'NOFD');
});

t.test('an inflight area comes with its descriptor, which is the caller’s', async (t) => {
  const { frontend, peer } = pair(t);
  const fd = check('memfd', native.memfdCreate('vhost-ts-test', 4096));
  const asked = frontend.getInflightFd(1, 128);
  const { payload } = (await peer.receive()) as { payload: Uint8Array };
  t.match(payloadCodec('inflight').decode(payload), { queueCount: 1, queueSize: 128 });
  peer.send(encodeReply(31, payload), [fd]);
  const answer = await asked;
  native.fdClose(fd);
  await frontend.setInflightFd(answer);
  const message = await peer.receive();
  t.equal(message?.fds.count, 1);
  t.same(message?.payload, payload);
  message?.fds.close();
  native.fdClose(answer.fd);
  const without = frontend.getInflightFd(1, 128);
  await peer.receive();
  peer.send(encodeReply(31, payload));
  await t.rejects(without, { code: 'FD_COUNT' });
});

t.test('answers that are none', async (t) => {
  const rows: [name: string, bytes: Uint8Array, code: string][] = [
    ['another request', encodeReply(3, u64(0n)), 'UNEXPECTED_REPLY'],
    [
      'no reply flag',
      encodeMessage({ request: 1, flags: 1, payload: u64(0n) }),
      'UNEXPECTED_REPLY',
    ],
    ['empty', encodeReply(1, new Uint8Array(0)), 'PEER_REFUSED'],
    ['short', encodeReply(1, new Uint8Array(4)), 'PAYLOAD_SIZE'],
  ];
  for (const [name, bytes, code] of rows) {
    const { frontend, peer } = pair(t);
    const answer = frontend.getFeatures();
    await peer.receive();
    peer.send(bytes);
    await t.rejects(answer, { code }, name);
  }
  const { frontend, peer } = pair(t);
  const answer = frontend.getFeatures();
  await peer.receive();
  peer.close();
  await t.rejects(answer, { code: 'PEER_CLOSED' });
});
