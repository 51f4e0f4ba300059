// CS-025 to CS-027, LF-002: sockets that can't be had, and the ends of a daemon: signals, --once, a connection that is over.

import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import t from 'tap';
import { native } from '../../src/native/index.js';
import {
  connectTo,
  imageFile,
  notRoot,
  notRootSkip,
  run,
  SET_FEATURES_MESSAGE,
  start,
  startListening,
  temporaryDirectory,
  until,
} from './command.js';

const directory = temporaryDirectory();
const image = imageFile(directory, 'image', 1 << 20);
const at = (name: string) => `${directory}/${name}`;
const blk = (socket: string) => ['blk', '--socket', socket, '--image', image];

/** A socket nobody listens on any more, as after kill -9. */
function deadSocket(name: string): string {
  const fd = native.socketListen(at('dying'), 1);
  linkSync(at('dying'), at(name));
  unlinkSync(at('dying'));
  native.fdClose(fd);
  return at(name);
}

writeFileSync(at('file'), 'precious');
mkdirSync(at('folder'));
symlinkSync(deadSocket('dead'), at('link'));

/** Id, title, path, what the line must say. */
const REFUSED: readonly (readonly [string, string, string, RegExp])[] = [
  ['CS-025', 'plain file', at('file'), /file exists and is no socket/],
  ['CS-025', 'directory', at('folder'), /folder exists and is no socket/],
  ['CS-025', 'symbolic link to a dead socket', at('link'), /link exists and is no socket/],
  ['CS-026', '108 bytes', at('x'.repeat(108 - directory.length - 1)), /longer than 107 bytes/],
  ['CS-025', 'no such directory', at('no/s'), /the directory of .*no\/s does not exist/],
];

for (const [id, title, path, says] of REFUSED) {
  t.test(`${id}: socket refused: ${title}`, async (t) => {
    const { code, stderr } = await run(blk(path));
    t.match(stderr, says);
    t.match(stderr, /^vhost-ts blk: [^\n]+; choose another --socket\n$/, 'one line');
    t.equal(code, 73);
  });
}

t.test('CS-025: what was refused is as it was', async (t) => {
  t.equal(readFileSync(at('file'), 'utf8'), 'precious');
  t.ok(lstatSync(at('folder')).isDirectory());
  t.ok(lstatSync(at('link')).isSymbolicLink());
});

t.test('CS-026: a path of 107 bytes', async (t) => {
  const path = at('x'.repeat(107 - directory.length - 1));
  const { child, outcome } = await startListening(blk(path));
  t.ok(existsSync(path));
  child.kill('SIGTERM');
  t.equal((await outcome).code, 0);
});

t.test('a directory that may not be written', { skip: notRootSkip }, async (t) => {
  const readable = imageFile(directory, 'readable', 1 << 20);
  const words = ['blk', '--socket', '/usr/vts.sock', '--image', readable, '--read-only'];
  const { code, stderr } = await run(words, notRoot);
  t.match(stderr, /^vhost-ts blk: no permission to create [^\n]+; choose another --socket\n$/);
  t.equal(code, 77);
});

t.test('CS-025: a live socket stays whose it is', async (t) => {
  const path = at('live');
  const { child, outcome } = await startListening(blk(path));
  const other = imageFile(directory, 'other', 1 << 20);
  const { code, stderr } = await run(['blk', '--socket', path, '--image', other]);
  t.match(stderr, /^vhost-ts blk: .*live is in use by another process; [^\n]+\n$/);
  t.equal(code, 73);
  (await connectTo(path)).destroy();
  child.kill('SIGTERM');
  t.equal((await outcome).code, 0);
});

t.test('CS-025: a dead socket is replaced', async (t) => {
  const path = deadSocket('stale');
  const { child, outcome } = await startListening(blk(path));
  (await connectTo(path)).destroy();
  child.kill('SIGTERM');
  t.equal((await outcome).code, 0);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`LF-002: ${signal} ends with 0 and takes the socket away`, async (t) => {
    const path = at(signal);
    const { child, outcome } = await startListening(blk(path));
    const frontEnd = await connectTo(path);
    frontEnd.on('error', () => {});
    frontEnd.write(SET_FEATURES_MESSAGE);
    child.kill(signal);
    const { code, stderr } = await outcome;
    t.equal(code, 0, stderr);
    t.notOk(existsSync(path));
    frontEnd.destroy();
  });
}

t.test('SIGTERM at any moment of the start leaves no socket', async (t) => {
  const path = at('early');
  for (const delayMs of [40, 80, 120, 160, 200, 250]) {
    const { child, outcome } = start(blk(path));
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    child.kill('SIGTERM');
    const { code, signal, stderr } = await outcome;
    // Before our first line runs, nobody but the kernel can answer.
    t.ok(code === 0 || signal === 'SIGTERM', `${delayMs} ms: ${code} ${signal} ${stderr}`);
    t.notOk(existsSync(path), `${delayMs} ms`);
  }
});

t.test('--once ends with the first front-end that negotiated, not with a probe', async (t) => {
  const path = at('once');
  const { child, outcome, stderr } = await startListening([...blk(path), '--once']);
  (await connectTo(path)).destroy();
  await until('the probe to be over', () => stderr().includes('front-end gone'));
  t.equal(child.exitCode, null);
  const frontEnd = await connectTo(path);
  frontEnd.end(SET_FEATURES_MESSAGE);
  t.equal((await outcome).code, 0);
  t.notOk(existsSync(path));
});

t.test('--fd takes a listening socket and leaves its path alone', async (t) => {
  const path = at('inherited');
  const fd = native.socketListen(path, 4);
  const words = ['blk', '--fd', '3', '--image', image];
  const { child, outcome } = await startListening(words, {
    stdio: ['ignore', 'ignore', 'pipe', fd],
  });
  native.fdClose(fd);
  (await connectTo(path)).destroy();
  child.kill('SIGTERM');
  t.equal((await outcome).code, 0);
  t.ok(existsSync(path));
});

t.test('--fd takes a connected socket and ends with it', async (t) => {
  const pair = new Int32Array(2);
  t.equal(native.socketPair(pair), 0);
  const [ours, theirs] = pair as unknown as [number, number];
  const { outcome } = await startListening(['blk', '--fd', '3', '--image', image], {
    stdio: ['ignore', 'ignore', 'pipe', theirs],
  });
  native.fdClose(theirs);
  native.fdClose(ours);
  t.equal((await outcome).code, 0);
});

t.test('CS-027: --fd that is no socket', async (t) => {
  for (const fd of ['0', '77']) {
    const { code, stderr } = await run(['blk', '--fd', fd, '--image', image]);
    t.equal(stderr, `vhost-ts blk: descriptor ${fd} is no socket; give --fd a UNIX socket\n`);
    t.equal(code, 73);
  }
});
