import t from 'tap';
import { Connections } from '../../../src/devices/vsock/connections.js';
import { native } from '../../../src/native/index.js';
import { openDescriptors, socketPair } from '../../support/resources.js';
import { PlainContext } from '../../support/vsock-rig.js';

const OPTIONS = { guestCid: 42, bufferBytes: 65_536 };

t.test('what is dropped is closed, and its tokens are free', async (t) => {
  const before = openDescriptors();
  const context = new PlainContext();
  const connections = new Connections(context, OPTIONS, () => {});
  connections.allow(true, false);
  const peers: number[] = [];
  for (let i = 0; i < 20; i++) {
    const [ours, peer] = socketPair();
    peers.push(peer);
    connections.open({ fd: ours }, 1, 80, () => {});
  }
  t.equal(connections.table.size, 20);
  t.equal(context.watched.size, 21, 'the timer and one for each');
  connections.dropAll();
  t.equal(connections.table.size, 0);
  t.equal(context.watched.size, 1);
  for (const peer of peers) {
    t.equal(native.hostReceive(peer, new Uint8Array(1), 0, 1, false), 0, 'the host sees the end');
    native.fdClose(peer);
  }
  connections.close();
  t.equal(openDescriptors(), before);
});

t.test('a type that was not agreed on, and a guest nobody serves', async (t) => {
  const connections = new Connections(new PlainContext(), OPTIONS, () => {});
  const [ours, peer] = socketPair();
  connections.open({ fd: ours }, 1, 80, () => {});
  t.equal(connections.table.size, 0);
  t.equal(native.hostReceive(peer, new Uint8Array(1), 0, 1, false), 0);
  native.fdClose(peer);
  connections.request({ type: 1, peerCid: 2, guestPort: 5, hostPort: 80 }, 4096, 0);
  t.equal(connections.refusals.count, 1);
  connections.close();
});

t.test('a link is told of its end, however it comes', async (t) => {
  const connections = new Connections(new PlainContext(), OPTIONS, () => {});
  const ended: boolean[] = [];
  const link = () => {
    const [fd, peer] = socketPair();
    native.fdClose(peer);
    return { fd, ended: (aborted: boolean) => void ended.push(aborted) };
  };
  connections.open(link(), 1, 80, () => {});
  t.same(ended, [true], 'of a type nobody has agreed on');
  connections.allow(true, false);
  connections.open(link(), 1, 80, () => {});
  connections.dropAll();
  t.same(ended, [true, true]);
  connections.close();
});
