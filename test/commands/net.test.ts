// What `vhost-ts net` says to wrong and informing command lines: one line, one exit code.

import t from 'tap';
import { capabilitiesJson } from '../../src/cli/capabilities.js';
import { run, temporaryDirectory } from '../cli/command.js';

const socket = `${temporaryDirectory()}/s`;
const GOOD = ['--socket', socket, '--null'];

const USAGE: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['nothing', [], /give either --socket PATH or --fd N/],
  ['no host end', ['--socket', socket], /--tap: give one of --tap, --tap-fd, --stream/],
  ['two host ends', [...GOOD, '--tap', 'x'], /--tap: give one of/],
  ['a group address', [...GOOD, '--mac', '01:00:5e:00:00:01'], /--mac: is no address/],
  ['MTU', [...GOOD, '--mtu', '67'], /--mtu/],
  ['too many pairs', [...GOOD, '--queue-pairs', '128'], /--queue-pairs.*127/],
  ['queue size', [...GOOD, '--queue-size', '100'], /--queue-size.*power of two/],
  ['half a dgram', ['--socket', socket, '--dgram', '/a'], /--dgram/],
  ['QEMU flags of an fd', ['--fd', '3', '--print-qemu-args'], /--print-qemu-args needs --socket/],
];

for (const [title, words, says] of USAGE) {
  t.test(`usage: ${title}`, async (t) => {
    const { code, stderr } = await run(['net', ...words]);
    t.match(stderr, says);
    t.match(stderr, /^vhost-ts net: [^\n]+\n$/, 'one line');
    t.equal(code, 2);
  });
}

t.test('information', async (t) => {
  const capabilities = await run(['net', '--print-capabilities']);
  t.equal(capabilities.stdout, `${capabilitiesJson('net')}\n`);
  const qemu = await run(['net', '--socket', '/s', '--queue-pairs', '4', '--print-qemu-args']);
  t.match(qemu.stdout, /-netdev vhost-user,id=net0,chardev=vhost0,queues=4/);
  t.match(qemu.stdout, /-device virtio-net-pci,netdev=net0,mq=on,vectors=10/);
});
