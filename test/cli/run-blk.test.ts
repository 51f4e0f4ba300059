// Images that can't be used: one line, the documented code, and no socket left behind.

import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs';
import t from 'tap';
import { native } from '../../src/native/index.js';
import {
  imageFile,
  notRoot,
  notRootSkip,
  run,
  startListening,
  temporaryDirectory,
} from './command.js';

const directory = temporaryDirectory();
const socket = `${directory}/s`;

mkdirSync(`${directory}/folder`);
spawnSync('mkfifo', [`${directory}/fifo`]);
imageFile(directory, 'empty', 0);
imageFile(directory, 'short', 511);
const image = imageFile(directory, 'image', 1 << 20);

/** Title, flags, what the line must say. */
const UNUSABLE: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['missing', ['--image', `${directory}/none`], /none does not exist \(--create SIZE makes it\)/],
  ['missing directory', ['--image', `${directory}/no/ne`, '--create', '1M'], /no\/ne/],
  ['directory', ['--image', `${directory}/folder`], /folder is a directory/],
  ['directory, to read', ['--image', `${directory}/folder`, '--read-only'], /no file and no block/],
  ['FIFO', ['--image', `${directory}/fifo`], /fifo is no file and no block device/],
  ['character device', ['--image', '/dev/null'], /null is no file and no block device/],
  ['empty', ['--image', `${directory}/empty`], /empty holds less than one block/],
  ['less than a sector', ['--image', `${directory}/short`], /short holds less than one block/],
  ['a sector of 4096', ['--image', `${directory}/short`, '--block-size', '4096'], /less than one/],
];

for (const [title, words, says] of UNUSABLE) {
  t.test(`unusable: ${title}`, async (t) => {
    const { code, stderr } = await run(['blk', '--socket', socket, ...words]);
    t.match(stderr, says);
    t.match(stderr, /^vhost-ts blk: [^\n]+\n$/, 'one line');
    t.equal(code, 66);
    t.notOk(existsSync(socket));
  });
}

t.test('a file that may only be read', { skip: notRootSkip }, async (t) => {
  const path = imageFile(directory, 'to-read', 1 << 20);
  chmodSync(path, 0o444);
  const words = ['blk', '--socket', socket, '--image', path];
  const { code, stderr } = await run(words, notRoot);
  t.match(stderr, /^vhost-ts blk: no permission to open .* \(--read-only opens .*\n$/);
  t.equal(code, 77);
  const { child, outcome } = await startListening([...words, '--read-only'], notRoot);
  child.kill('SIGTERM');
  t.equal((await outcome).code, 0, 'the advice holds');
});

t.test('a file that may not be opened', { skip: notRootSkip }, async (t) => {
  const path = imageFile(directory, 'secret', 1 << 20);
  chmodSync(path, 0);
  const words = ['blk', '--socket', socket, '--image', path, '--read-only'];
  const { code, stderr } = await run(words, notRoot);
  t.match(stderr, /^vhost-ts blk: no permission to open [^\n]+\n$/);
  t.equal(code, 77);
});

t.test('an image another daemon serves', async (t) => {
  const { child, outcome } = await startListening(['blk', '--socket', socket, '--image', image]);
  for (const words of [[], ['--read-only']]) {
    const other = ['blk', '--socket', `${directory}/s2`, '--image', image, ...words];
    const { code, stderr } = await run(other);
    t.match(stderr, /^vhost-ts blk: image .* is in use by another process; [^\n]+\n$/);
    t.equal(code, 66);
  }
  child.kill('SIGTERM');
  await outcome;
});

t.test('two daemons may read one image', async (t) => {
  const words = ['--image', image, '--read-only'];
  const first = await startListening(['blk', '--socket', socket, ...words]);
  const second = await startListening(['blk', '--socket', `${directory}/s2`, ...words]);
  for (const { child, outcome } of [first, second]) {
    child.kill('SIGTERM');
    t.equal((await outcome).code, 0);
  }
});

t.test('an image somebody else has locked', async (t) => {
  const fd = openSync(image, 'r+');
  t.equal(native.fileLock(fd, true, 0, 0), 0);
  const { code, stderr } = await run(['blk', '--socket', socket, '--image', image]);
  closeSync(fd);
  t.match(stderr, /^vhost-ts blk: image .* is in use by another process[^\n]+\n$/);
  t.equal(code, 66);
});

t.test('--create makes an image once', async (t) => {
  const path = `${directory}/new`;
  for (const [size, bytes] of [
    ['3M', 3 << 20],
    ['5M', 3 << 20], // there already: left as it is
  ] as const) {
    const words = ['blk', '--socket', socket, '--image', path, '--create', size];
    const { child, outcome } = await startListening(words);
    child.kill('SIGTERM');
    t.equal((await outcome).code, 0);
    t.equal(statSync(path).size, bytes);
  }
});

t.test('--cache none needs blocks as large as the device takes', async (t) => {
  const fd = openSync(image, 'r');
  const align = native.fileDirectAlignment(fd);
  closeSync(fd);
  if (align <= 512) {
    t.pass(`this file system takes ${align} bytes`);
    return;
  }
  const words = ['--image', image, '--cache', 'none', '--block-size', '512'];
  const { code, stderr } = await run(['blk', '--socket', socket, ...words]);
  t.match(stderr, new RegExp(`--cache none on .* needs --block-size ${align}\\n$`));
  t.equal(code, 2);
});
