// `vhost-ts vsock` as a service: its sockets come and go with it.

import { existsSync } from 'node:fs';
import t from 'tap';
import { freePort } from '../support/free-port.js';
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

t.test('words that make no sense', async (t) => {
  const socket = `${temporaryDirectory()}/s`;
  const one = ['--socket', socket, '--guest-cid', '42'];
  const two = ['--guest', `${socket},cid=3`, '--guest', `${socket}2,cid=4`];
  const rows: readonly (readonly [words: readonly string[], said: RegExp])[] = [
    [one, /give the guest somebody to talk to: --uds-path, --forward/],
    [['--socket', socket, '--forward', '1=exec:cat'], /give --guest-cid/],
    [
      [...one, '--forward', '1=exec:a', '--forward', '1=exec:b'],
      /--forward: a port is given twice/,
    ],
    [[...one, '--forward', 'x'], /--forward "x": give \[CID:\]PORT=unix:PATH/],
    [[...one, '--forward-cid', '1', '--uds-path', '/x'], /--forward-cid: and --uds-path/],
    [[...one, '--forward-listen', '1,2'], /--forward-listen "1,2": give \[CID:\]PORT/],
    [[...one, '--listen', 'unix:/x=3:1'], /--listen: no guest has the CID 3/],
    [[...two, '--uds-path', '/x'], /--uds-path is for one guest/],
    [[...two, '--listen', 'unix:/x=1'], /--listen: say whose port it is, as CID:PORT/],
    [[...two, '--forward-listen', '3:1+2'], /--forward-listen: say whose port it is/],
    [[...two, '--forward', '5:1=exec:cat'], /--forward: no guest has the CID 5/],
    [[...two, '--forward', '1=exec:a', '--forward', '4:1=exec:b'], /a port is given twice/],
    [['--guest', `${socket},cid=3`, '--guest', 'b,cid=3'], /a CID is given twice/],
    [['--guest', `${socket},cid=3`, '--guest', `${socket},cid=4`], /a socket is given twice/],
    [['--guest', `${socket},cid=2`], /--guest-cid: Too small/],
  ];
  for (const [words, said] of rows) {
    const { code, stderr } = await run(['vsock', ...words]);
    t.match(stderr, said);
    t.equal(code, 2, words.slice(-2).join(' '));
  }
});

t.test('a port in use', async (t) => {
  const directory = temporaryDirectory();
  const listen = ['--listen', `tcp:127.0.0.1:${await freePort()}=22`];
  const words = (name: string) => [
    ...['vsock', '--socket', `${directory}/${name}`, '--guest-cid', '42'],
    ...listen,
  ];
  const daemon = await startListening(words('a'));
  const { code, stderr } = await run(words('b'));
  t.equal(code, 73);
  t.match(stderr, /TCP port \d+ of 127\.0\.0\.1 is in use by another process; choose another/);
  daemon.child.kill('SIGTERM');
  t.equal((await daemon.outcome).code, 0);
});

t.test('a name that nobody answers for does not hold up the end', async (t) => {
  const socket = `${temporaryDirectory()}/s`;
  const forward = ['--forward', '80=tcp:nobody.invalid:80'];
  const daemon = await startListening([
    'vsock',
    '--socket',
    socket,
    '--guest-cid',
    '42',
    ...forward,
  ]);
  daemon.child.kill('SIGTERM');
  t.equal((await daemon.outcome).code, 0);
});
