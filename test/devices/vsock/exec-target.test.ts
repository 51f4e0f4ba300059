import t from 'tap';
import { ExecTarget, PROCESSES_MAX } from '../../../src/devices/vsock/exec-target.js';
import type { HostLink } from '../../../src/devices/vsock/host-end.js';
import { native } from '../../../src/native/index.js';
import {
  MESSAGE_REQUEST,
  PolledConnections,
  STREAM_REQUEST,
} from '../../support/polled-connections.js';
import { openDescriptors, until } from '../../support/resources.js';
import { readNow, writeNow } from '../../support/vsock-rig.js';

function connect(target: ExecTarget, request = STREAM_REQUEST): HostLink | undefined {
  let link: HostLink | undefined;
  target.connect(request, (answer) => {
    link = answer;
  });
  return link;
}

t.test('a program for each connection, of its type', async (t) => {
  const connections = new PolledConnections();
  const target = new ExecTarget('cat', connections);
  for (const request of [STREAM_REQUEST, MESSAGE_REQUEST]) {
    const { fd } = connect(target, request) as HostLink;
    writeNow(fd, 'echo');
    let text = '';
    await until('an echo', () => {
      text += readNow(fd);
      return text !== '';
    });
    t.equal(text, 'echo');
    native.fdClose(fd);
  }
  target.close();
  t.equal(connections.watching, 0);
});

t.test('the end of all, also of those that hear of nothing', async (t) => {
  const before = openDescriptors();
  const connections = new PolledConnections();
  const target = new ExecTarget('trap "" TERM; echo; sleep 100; sleep 100', connections);
  const { fd } = connect(target) as HostLink;
  await until('it runs', () => readNow(fd) !== '');
  native.fdClose(fd);
  target.close();
  t.equal(openDescriptors(), before);
});

t.test('VS-011 as many programs as may be', async (t) => {
  const connections = new PolledConnections();
  const target = new ExecTarget('exec cat', connections);
  const links: HostLink[] = [];
  for (let i = 0; i < PROCESSES_MAX; i++) {
    links.push(connect(target) as HostLink);
  }
  t.equal(connect(target), undefined);
  const first = links.pop() as HostLink;
  native.fdClose(first.fd);
  first.ended?.(false);
  await until('a place is free', () => {
    const next = connect(target);
    if (next !== undefined) {
      links.push(next);
    }
    return next !== undefined;
  });
  for (const { fd } of links) {
    native.fdClose(fd);
  }
  target.close();
});
