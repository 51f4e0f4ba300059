import { join } from 'node:path';
import t from 'tap';
import { ListenEnd } from '../../../src/devices/vsock/listen-end.js';
import { check, native } from '../../../src/native/index.js';
import { PolledConnections } from '../../support/polled-connections.js';
import { temporaryDirectory, until } from '../../support/resources.js';

t.test('who comes is connected to the port', async (t) => {
  const path = join(temporaryDirectory(t), 'l');
  const listener = check('listen', native.hostListen(path, 1, 8));
  const connections = new PolledConnections();
  const end = new ListenEnd({ fd: listener, type: 1, guestPort: 22 }, connections);
  const peer = check('connect', native.hostConnect(path, 1));
  await until('it is there', () => connections.opened.length > 0);
  const [{ link, type, guestPort } = t.fail() as never] = connections.opened;
  t.same([type, guestPort], [1, 22]);
  end.close();
  connections.close();
  for (const fd of [link.fd, peer, listener]) {
    native.fdClose(fd);
  }
});
