// `vhost-ts vsock` as a service: its sockets come and go with it.

import { existsSync } from 'node:fs';
import t from 'tap';
import { run, startListening, temporaryDirectory } from './command.js';

t.test('sockets are there while it runs, and gone after SIGTERM', async (t) => {
  const directory = temporaryDirectory();
  const path = `${directory}/v`;
  const words = (socket: string) => [
    'vsock',
    '--socket',
    `${directory}/${socket}`,
    '--guest-cid',
    '42',
    '--uds-path',
    path,
  ];
  const daemon = await startListening(words('s'));
  t.ok(existsSync(path) && existsSync(`${path}_seqpacket`));
  const second = await run(words('other'));
  t.equal(second.code, 73);
  t.match(second.stderr, /v is in use by another process; choose another/);
  t.ok(existsSync(path), 'the second left them alone');
  daemon.child.kill('SIGTERM');
  t.equal((await daemon.outcome).code, 0);
  t.notOk(existsSync(path) || existsSync(`${path}_seqpacket`) || existsSync(`${directory}/s`));
});
