import t from 'tap';
import type { HostLink } from '../../../src/devices/vsock/host-end.js';
import { isAddress, TcpTarget } from '../../../src/devices/vsock/tcp-target.js';
import { check, native } from '../../../src/native/index.js';
import { freePort } from '../../support/free-port.js';
import {
  MESSAGE_REQUEST,
  PolledConnections,
  STREAM_REQUEST,
} from '../../support/polled-connections.js';
import { until } from '../../support/resources.js';

t.test('figures and names', async (t) => {
  t.same(['127.0.0.1', '::1', 'fe80::1%lo'].map(isAddress), [true, true, true]);
  t.same(['localhost', '1.example', 'a'].map(isAddress), [false, false, false]);
});

t.test('a name leads nowhere until it is known', async (t) => {
  const port = await freePort();
  const listener = check('listen', native.hostListenTcp('127.0.0.1', port, 8));
  const target = new TcpTarget('db.test', port, new PolledConnections());
  const answers: (HostLink | undefined)[] = [];
  const ask = (request = STREAM_REQUEST) => target.connect(request, (link) => answers.push(link));
  ask();
  t.same(answers, [undefined]);
  target.addresses = ['127.0.0.1'];
  ask(MESSAGE_REQUEST);
  t.same(answers, [undefined, undefined], 'TCP has no messages');
  ask();
  await until('an answer', () => answers.length === 3);
  native.fdClose((answers[2] as HostLink).fd);
  native.fdClose(listener);
});
