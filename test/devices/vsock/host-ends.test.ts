import { join } from 'node:path';
import t from 'tap';
import type { HostLink } from '../../../src/devices/vsock/host-end.js';
import { HostEnds } from '../../../src/devices/vsock/host-ends.js';
import { check, native } from '../../../src/native/index.js';
import { freePort } from '../../support/free-port.js';
import { PolledConnections } from '../../support/polled-connections.js';
import { temporaryDirectory, until } from '../../support/resources.js';

t.test('a port leads to its own end, others to the rest', async (t) => {
  const directory = temporaryDirectory(t);
  const listening = (name: string) => {
    const fd = check('listen', native.hostListen(join(directory, name), 1, 8));
    t.teardown(() => native.fdClose(fd));
    return fd;
  };
  const own = listening('own');
  const rest = listening('v_81');
  const connections = new PolledConnections();
  const tcp = await freePort();
  const tcpListener = check('listen', native.hostListenTcp('127.0.0.1', tcp, 8));
  t.teardown(() => native.fdClose(tcpListener));
  const ends = new HostEnds(
    {
      guestCid: 42,
      uds: { path: join(directory, 'v'), streamFd: listening('v'), seqpacketFd: listening('w') },
      forwards: [
        { port: 80, to: { kind: 'unix', path: join(directory, 'own') } },
        { port: 90, to: { kind: 'tcp', host: 'db.test', port: tcp } },
      ],
    },
    connections,
  );
  const ask = async (hostPort: number) => {
    const answers: (HostLink | undefined)[] = [];
    ends.connect({ type: 1, peerCid: 2, guestPort: 1, hostPort }, (link) => answers.push(link));
    await until('an answer', () => answers.length > 0);
    const [link] = answers;
    if (link !== undefined) {
      native.fdClose(link.fd);
    }
    return link !== undefined;
  };
  t.ok(await ask(80));
  t.ok(native.hostAccept(own) >= 0);
  t.ok(await ask(81));
  t.ok(native.hostAccept(rest) >= 0);
  t.notOk(await ask(82));
  t.notOk(await ask(90), 'its name is not known yet');
  ends.addresses('other.test', ['127.0.0.1']);
  t.notOk(await ask(90));
  ends.addresses('db.test', ['127.0.0.1']);
  t.ok(await ask(90));
  ends.close();
  connections.close();
});

t.test('no end at all refuses', async (t) => {
  const ends = new HostEnds({ guestCid: 42 }, new PolledConnections());
  const answers: unknown[] = [];
  ends.connect({ type: 1, peerCid: 2, guestPort: 1, hostPort: 1 }, (link) => answers.push(link));
  t.same(answers, [undefined]);
});
