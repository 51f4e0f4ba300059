// What `vhost-ts run` says to a wrong command line or module: one line, one exit code.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT, run, startListening, temporaryDirectory } from '../cli/command.js';

const directory = temporaryDirectory();
const socket = `${directory}/s`;
const entropy = join(ROOT, 'dist/examples/entropy.js');
const GOOD = [entropy, '--socket', socket];
const module = (name: string, text: string) => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return [path, '--socket', socket];
};

/** Title, words after `vhost-ts run`, exit code, what the one line must say. */
const REFUSED: readonly (readonly [string, readonly string[], number, RegExp])[] = [
  ['nothing', [], 2, /give the module/],
  ['no socket', [entropy], 2, /give either --socket PATH or --fd N/],
  ['socket and fd', [...GOOD, '--fd', '3'], 2, /either --socket PATH or --fd N/],
  ['an empty socket', [entropy, '--socket='], 2, /--socket/],
  ['two modules', [...GOOD, 'two.js'], 2, /Unexpected argument: two.js/],
  ['an unknown flag', [...GOOD, '--image', 'x'], 2, /Nonexistent flag.*--image/],
  ['an option without value', [...GOOD, '--option', 'bytesMax'], 2, /not NAME=VALUE/],
  ['a bad option', [...GOOD, '--option', 'bytesMax=0'], 2, /--option bytesMax: .*1/],
  ['an unknown option', [...GOOD, '--option', 'x=1'], 2, /--option x: /],
  ['no such file', [`${directory}/no.js`, '--socket', socket], 66, /no.js does not load: Cannot/],
  ['a syntax error', module('bad.mjs', 'export const = 1'), 66, /bad.mjs does not load: Unex/],
  ['a module that throws', module('t.mjs', 'throw new Error("mine")'), 66, /t.mjs .*: mine/],
  ['a module without device', module('e.mjs', 'export const a = 1'), 66, /exports no device/],
  ['no directory', [entropy, '--socket', `${directory}/no/s`], 73, /choose another --socket/],
];

for (const [title, words, exitCode, says] of REFUSED) {
  t.test(`refused: ${title}`, async (t) => {
    const { code, stdout, stderr } = await run(['run', ...words]);
    t.match(stderr, says);
    t.match(stderr, /^vhost-ts run: [^\n]+\n$/, 'one line');
    t.equal(stdout, '');
    t.equal(code, exitCode);
    t.notOk(existsSync(socket));
  });
}

t.test('help names the option flag', async (t) => {
  const { code, stdout } = await run(['run', '--help']);
  t.match(stdout, /--option=NAME=VALUE/);
  t.equal(code, 0);
});

t.test('several options, a clean end', async (t) => {
  const disk = join(ROOT, 'dist/examples/ram-disk.js');
  const words = ['run', '--option', 'mebibytes=2', disk, '--socket', socket];
  const { child, outcome } = await startListening(words);
  child.kill('SIGTERM');
  const { code, stderr } = await outcome;
  t.equal(code, 0, stderr);
  t.notOk(existsSync(socket));
});
