import { join } from 'node:path';
import t from 'tap';
import { acceptAll } from '../../../src/devices/vsock/acceptor.js';
import { check, native } from '../../../src/native/index.js';
import { PolledConnections } from '../../support/polled-connections.js';
import { temporaryDirectory, until } from '../../support/resources.js';

t.test('everybody who comes, in one event too', async (t) => {
  const path = join(temporaryDirectory(t), 'l');
  const listener = check('listen', native.hostListen(path, 1, 8));
  const connections = new PolledConnections();
  const taken: number[] = [];
  acceptAll(listener, connections, (fd) => taken.push(fd));
  const peers = [1, 2, 3].map(() => check('connect', native.hostConnect(path, 1)));
  await until('three', () => taken.length === 3);
  connections.close();
  for (const fd of [...taken, ...peers, listener]) {
    native.fdClose(fd);
  }
});

t.test('VS-039 what can not be accepted now is tried again', async (t) => {
  const connections = new PolledConnections();
  const [broken] = [check('eventfd', native.eventfdCreate(1))];
  acceptAll(broken, connections, () => t.fail('nobody is there'));
  // accept() on what is no socket fails, as it does without a free descriptor.
  await new Promise((resolve) => setTimeout(resolve, 20));
  connections.close();
  native.fdClose(broken);
  t.doesNotThrow(() => connections.pass(250), 'asked once more, after a while');
});
