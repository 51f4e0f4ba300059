// What `vhost-ts vsock` says to every wrong or informing command line: one line, one exit code.

import { writeFileSync } from 'node:fs';
import t from 'tap';
import { capabilitiesJson } from '../../src/cli/capabilities.js';
import { run, temporaryDirectory } from '../cli/command.js';

const directory = temporaryDirectory();
const socket = `${directory}/s`;
const path = `${directory}/v`;
const GOOD = ['--socket', socket, '--guest-cid', '42', '--uds-path', path];
writeFileSync(`${directory}/file`, '');

/** Title, words after `vhost-ts vsock`, exit code, what the one line must say. */
const REFUSED: readonly (readonly [string, readonly string[], number, RegExp])[] = [
  ['nothing', [], 2, /give either --socket PATH or --fd N/],
  ['no CID', ['--socket', socket, '--uds-path', path], 2, /give --guest-cid N/],
  ['nobody to talk to', ['--socket', socket, '--guest-cid', '42'], 2, /talk to: --uds-path, --f/],
  ["the host's CID", [...GOOD.slice(0, 3), '2', '--uds-path', path], 2, /--guest-cid: .*3/],
  ['a long path', [...GOOD.slice(0, 5), 'x'.repeat(97)], 2, /--uds-path: is longer than 96/],
  ['a small buffer', [...GOOD, '--tx-buffer-size', '1'], 2, /--tx-buffer-size: .*65536/],
  ['an image', [...GOOD, '--image', 'x'], 2, /Nonexistent flag.*--image/],
  [
    'a file',
    [...GOOD.slice(0, 5), `${directory}/file`],
    73,
    /file exists and is no socket; choose/,
  ],
  ['no directory', [...GOOD.slice(0, 5), `${directory}/no/v`], 73, /no\/v: ENOENT; choose another/],
];

for (const [title, words, exitCode, says] of REFUSED) {
  t.test(`refused: ${title}`, async (t) => {
    const { code, stdout, stderr } = await run(['vsock', ...words]);
    t.match(stderr, says);
    t.match(stderr, /^vhost-ts vsock: [^\n]+\n$/, 'one line');
    t.equal(stdout, '');
    t.equal(code, exitCode);
  });
}

t.test('information', async (t) => {
  const capabilities = await run(['vsock', '--print-capabilities']);
  t.equal(capabilities.stdout, `${capabilitiesJson('vsock')}\n`);
  const flags = await run(['vsock', '--socket', socket, '--print-qemu-args']);
  t.match(flags.stdout, /-device vhost-user-vsock-pci,chardev=vhost0\n$/);
});
