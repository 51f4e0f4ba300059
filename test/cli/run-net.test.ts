// Host ends that can't be had: one line, the documented code, no socket left behind.

import { existsSync } from 'node:fs';
import t from 'tap';
import { run, temporaryDirectory } from './command.js';

const directory = temporaryDirectory();
const socket = `${directory}/s`;

const UNUSABLE: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['no tap', ['--tap', 'lo'], /tap lo: /],
  ['no descriptor', ['--tap-fd', '999'], /descriptor 999: is not open/],
  ['no directory', ['--stream-listen', `${directory}/no/s`], /can't be made \(ENOENT\)/],
];

for (const [title, words, says] of UNUSABLE) {
  t.test(title, async (t) => {
    const { code, stderr } = await run(['net', '--socket', socket, ...words]);
    t.match(stderr, says);
    t.match(stderr, /^vhost-ts net: [^\n]+\n$/, 'one line');
    t.ok(code === 66 || code === 77, `exit code ${code}`);
    t.notOk(existsSync(socket));
  });
}
