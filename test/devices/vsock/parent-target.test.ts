import { existsSync } from 'node:fs';
import t from 'tap';
import type { HostLink } from '../../../src/devices/vsock/host-end.js';
import { ParentTarget } from '../../../src/devices/vsock/parent-target.js';
import { check, native } from '../../../src/native/index.js';
import { PolledConnections } from '../../support/polled-connections.js';
import { until } from '../../support/resources.js';

const LOOPBACK_CID = 1;
const PORT = 0x4000_4321;

/** Anybody else than ourselves is not this test's to talk to. */
const skip = existsSync('/sys/module/vsock_loopback') ? false : 'no loopback of AF_VSOCK here';

t.test('to a port of this host', { skip }, async (t) => {
  const listener = check('listen', native.hostListenVsock(PORT, 1, 8));
  const connections = new PolledConnections();
  const target = new ParentTarget(LOOPBACK_CID, connections);
  const answers: (HostLink | undefined)[] = [];
  const request = { type: 1, peerCid: 2, guestPort: 1, hostPort: PORT };
  target.connect(request, (link) => answers.push(link));
  await until('an answer', () => answers.length > 0);
  const accepted = check('accept', native.hostAccept(listener));
  for (const fd of [accepted, (answers[0] as HostLink).fd, listener]) {
    native.fdClose(fd);
  }
  target.close();
  t.pass();
});

t.test('VS-041 a port no socket has', async (t) => {
  const answers: unknown[] = [];
  const target = new ParentTarget(LOOPBACK_CID, new PolledConnections());
  target.connect({ type: 1, peerCid: 2, guestPort: 1, hostPort: 0xffff_ffff }, (link) =>
    answers.push(link),
  );
  t.same(answers, [undefined]);
});
