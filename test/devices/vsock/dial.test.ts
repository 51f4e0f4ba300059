import t from 'tap';
import { dial } from '../../../src/devices/vsock/dial.js';
import type { HostLink } from '../../../src/devices/vsock/host-end.js';
import { check, native } from '../../../src/native/index.js';
import { freePort } from '../../support/free-port.js';
import { PolledConnections } from '../../support/polled-connections.js';
import { openDescriptors, until } from '../../support/resources.js';

type Outcome = 'pending' | HostLink | undefined;

function dialled(attempts: readonly (() => number)[]) {
  const connections = new PolledConnections();
  const state: { answers: number; outcome: Outcome } = { answers: 0, outcome: 'pending' };
  const cancel = dial(connections, attempts, (link) => {
    state.answers++;
    state.outcome = link;
  });
  return { connections, state, cancel };
}

t.test('the first that takes it', async (t) => {
  const port = await freePort();
  const nobody = await freePort();
  const listener = check('listen', native.hostListenTcp('127.0.0.1', port, 8));
  const { connections, state } = dialled([
    () => native.hostConnectTcp('no.address', port),
    () => native.hostConnectTcp('127.0.0.1', nobody),
    () => native.hostConnectTcp('127.0.0.1', port),
    () => t.fail('one is enough') as never,
  ]);
  await until('an answer', () => state.answers > 0);
  const { fd } = state.outcome as HostLink;
  t.equal(connections.watching, 0);
  connections.pass(2000);
  t.equal(state.answers, 1, 'late time limits mean nothing');
  native.fdClose(fd);
  native.fdClose(listener);
});

t.test('nobody, said at once', async (t) => {
  const { state, cancel } = dialled([() => -1, () => -2]);
  t.equal(cancel, undefined);
  t.same(state, { answers: 1, outcome: undefined });
  t.equal(dialled([]).state.answers, 1, 'no address at all');
});

t.test('one that keeps silent costs its share of the time', async (t) => {
  const before = openDescriptors();
  const unconnected = () => check('listen', native.hostListenTcp('127.0.0.1', 0, 1));
  // A listening socket is connected to nobody, ever.
  const { connections, state, cancel } = dialled([unconnected, unconnected]);
  t.ok(cancel);
  connections.pass(999);
  t.equal(state.answers, 0);
  connections.pass(1000);
  t.equal(state.answers, 0, 'the second is being tried');
  connections.pass(1000);
  t.same(state, { answers: 1, outcome: undefined });
  t.equal(openDescriptors(), before);
});

t.test('taken back', async (t) => {
  const before = openDescriptors();
  const unconnected = () => check('listen', native.hostListenTcp('127.0.0.1', 0, 1));
  const { connections, state, cancel } = dialled([unconnected, unconnected]);
  cancel?.();
  connections.pass(2000);
  t.equal(state.answers, 0, 'nobody wants to know');
  t.equal(connections.watching, 0);
  t.equal(openDescriptors(), before);
});
