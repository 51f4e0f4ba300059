import t from 'tap';
import { SILENT_LOG } from '../../../src/core/log.js';
import { encodeReply } from '../../../src/core/protocol/index.js';
import { BackendChannel } from '../../../src/core/session/backend-channel.js';
import { native } from '../../../src/native/index.js';
import { Peer } from '../../support/peer.js';
import { eventfd, socketPair } from '../../support/resources.js';
import { toHex } from '../protocol/hex.js';

function open() {
  const [ours, theirs] = socketPair();
  const lines: string[] = [];
  const log = { ...SILENT_LOG, warn: (_: unknown, message: string) => lines.push(message) };
  return { channel: new BackendChannel(ours, log), peer: new Peer(theirs), lines };
}

t.test('CONFIG_CHANGE_MSG asks for no reply', async (t) => {
  const { channel, peer } = open();
  channel.configChanged();
  t.equal(toHex((await peer.message()) ?? new Uint8Array(0)), '020000000100000000000000');
  channel.close();
  t.ok(await peer.ended());
  t.doesNotThrow(() => channel.configChanged(), 'after the end it is a no-op');
  peer.close();
});

t.test('what the front-end says is read and dropped (CS-142)', async (t) => {
  const { channel, peer } = open();
  const fd = eventfd();
  for (let i = 0; i < 5000; i++) {
    while (peer.trySend(encodeReply(2, new Uint8Array(8)), [fd]) < 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  channel.configChanged();
  t.ok(await peer.message(), 'still works');
  native.fdClose(fd);
  peer.send(new Uint8Array(12));
  t.ok(await peer.ended(), 'garbage ends the channel');
  channel.close();
  peer.close();
});

t.test('a front-end that never reads (CS-142)', async (t) => {
  const { channel, peer, lines } = open();
  for (let i = 0; i < 100_000 && lines.length === 0; i++) {
    channel.configChanged();
  }
  t.same(lines, ['back-end channel lost']);
  peer.close();
});
