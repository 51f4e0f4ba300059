// From the flags to a switch: mistakes in one line, and a switch as a user runs it.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DaemonProcess, NetDriver, TestFrontend } from '../../src/testing/index.js';
import { frame } from '../support/frames.js';
import * as resources from '../support/resources.js';
import { until } from '../support/until.js';
import { tagged } from '../support/vlan-frames.js';
import { run, temporaryDirectory } from './command.js';

const directory = temporaryDirectory();
const [first, second] = [`${directory}/a`, `${directory}/b`];
const BOTH = ['--switch', 'lan', '--socket', first, '--socket', second];

const MISTAKES: readonly (readonly [title: string, words: readonly string[], says: RegExp])[] = [
  ['one socket', ['--switch', 'lan', '--socket', first], /--socket: needs two sockets at least/],
  ['one path twice', ['--switch', 'lan', '--socket', first, '--socket', first], /path of its own/],
  ['no name', ['--switch', 'a b', '--socket', first, '--socket', second], /--switch: is no name/],
  ['several without', ['--null', '--socket', first, '--socket', second], /need --switch NAME/],
  ['a rule without', ['--null', '--socket', first, '--port', '1:isolated'], /--port needs/],
  ['a tap', [...BOTH, '--tap', 'x'], /--tap does not go with --switch/],
  ['several pairs', [...BOTH, '--queue-pairs', '2'], /one queue pair for each guest/],
  ['a rule for nobody', [...BOTH, '--port', '3:isolated'], /--port 3: there are 2 ports/],
  ['two rules', [...BOTH, '--port', '1:isolated', '--port', '1:access=1'], /has its rule already/],
  ['no uplink', [...BOTH, '--uplink', 'null:x'], /--uplink: is none of tap:NAME/],
  ['an uplink without', ['--null', '--socket', first, '--uplink', 'tap:x'], /--uplink needs/],
  ['no rule', [...BOTH, '--port', '1:access=4095'], /--port: "4095" is no VLAN/],
];

for (const [title, words, says] of MISTAKES) {
  t.test(title, async (t) => {
    const { code, stderr } = await run(['net', ...words]);
    t.match(stderr, says);
    t.match(stderr, /^vhost-ts net: [^\n]+\n$/, 'one line');
    t.equal(code, 2);
    t.notOk(existsSync(first) || existsSync(second), 'no socket is left');
  });
}

t.test('vhost-ts net --switch', async (t) => {
  const directory = resources.temporaryDirectory(t);
  const [a, b] = [join(directory, 'a'), join(directory, 'b')];
  const rules = ['--port', '1:access=10', '--port', '2:trunk=10'];
  const args = ['--switch', 'lan', '--socket', b, ...rules, '--log-format', 'json'];
  const daemon = await DaemonProcess.net(a, args);
  t.teardown(() => daemon.stop());
  await until(() => existsSync(b));
  const [left, right] = [
    await TestFrontend.start({ socket: a, queues: 2 }),
    await TestFrontend.start({ socket: b, queues: 2 }),
  ];
  const [one, other] = [new NetDriver(left), new NetDriver(right)];
  one.post(8, 2048);
  other.post(8, 2048);
  const sent = frame(1514, 3);
  await one.transmit(sent);
  t.equal(Buffer.compare((await other.receive()).frame, tagged(sent, 10)), 0);
  await other.transmit(tagged(sent, 10));
  t.equal(Buffer.compare((await one.receive()).frame, sent), 0);
  daemon.signal('SIGHUP');
  for (const frontend of [left, right]) {
    await frontend.stopQueues();
    frontend.close();
  }
  const { code, stderr } = await daemon.stop();
  t.equal(code, 0);
  t.match(stderr, /"port":"b","queue":0,"packets":1,"bytes":1518/, 'SIGHUP logs every port');
  t.notOk(existsSync(a) || existsSync(b), 'the sockets are gone');
});
