import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { listenOnFd, listenOnPath } from '../../../src/core/daemon/listener.js';
import { native } from '../../../src/native/index.js';
import {
  eventfd,
  openDescriptors,
  socketPair,
  temporaryDirectory,
} from '../../support/resources.js';

/** A socket file nobody listens on any more. */
function deadSocket(path: string): void {
  native.fdClose(native.socketListen(path, 1));
}

t.test('what is in the way of a path (CS-025, CS-026)', async (t) => {
  const directory = temporaryDirectory(t);
  const at = (name: string) => join(directory, name);
  deadSocket(at('dead'));
  const live = native.socketListen(at('live'), 1);
  const busy = native.socketListen(at('busy'), 1);
  const waiting = [native.socketConnect(at('busy')), native.socketConnect(at('busy'))];
  writeFileSync(at('file'), 'x');
  mkdirSync(at('directory'));
  deadSocket(at('target'));
  symlinkSync(at('target'), at('link'));
  symlinkSync(at('nowhere'), at('dangling'));
  const long = at('x'.repeat(107 - directory.length - 1));
  const rows: readonly (readonly [path: string, reason: string | undefined, message: RegExp])[] = [
    [at('free'), undefined, /./],
    [at('dead'), undefined, /./],
    [long, undefined, /./],
    [`${long}x`, 'invalid', /longer than 107 bytes/],
    [at('live'), 'in-use', /in use by another process/],
    [at('busy'), 'in-use', /in use by another process/],
    [at('file'), 'in-use', /is no socket/],
    [at('directory'), 'in-use', /is no socket/],
    [at('link'), 'in-use', /is no socket/],
    [at('dangling'), 'in-use', /is no socket/],
    [at('none/x'), 'invalid', /directory of .* does not exist/],
  ];
  for (const [path, reason, message] of rows) {
    const before = openDescriptors();
    if (reason === undefined) {
      const listener = listenOnPath(path);
      t.ok(lstatSync(path).isSocket(), path);
      listener.close();
      t.notOk(existsSync(path), 'unlinked at the end');
    } else {
      const existed = lstatSync(path, { throwIfNoEntry: false })?.ino;
      t.throws(() => listenOnPath(path), { name: 'ListenError', reason, message }, path);
      t.equal(lstatSync(path, { throwIfNoEntry: false })?.ino, existed, 'left as it was');
    }
    t.equal(openDescriptors(), before);
  }
  for (const fd of [live, busy, ...waiting.filter((fd) => fd >= 0)]) {
    native.fdClose(fd);
  }
});

const rootOnly = process.getuid?.() === 0 ? false : 'only root can be somebody else';

t.test('CS-024: who may not write the socket can’t connect', { skip: rootOnly }, async (t) => {
  const directory = temporaryDirectory(t);
  chmodSync(directory, 0o755);
  const path = join(directory, 's');
  const NOBODY = 65534;
  const script = `require('net').connect(${JSON.stringify(path)})
    .on('connect', () => process.exit(0)).on('error', (e) => (console.log(e.code), process.exit(1)))`;
  for (const [mask, code] of [
    [0o077, 'EACCES\n'],
    [0o000, ''],
  ] as const) {
    const before = process.umask(mask);
    const listener = listenOnPath(path);
    process.umask(before);
    const options = { uid: NOBODY, gid: NOBODY, encoding: 'utf8', cwd: '/' } as const;
    const { stdout } = spawnSync(
      'env',
      ['-u', 'NODE_OPTIONS', process.execPath, '-e', script],
      options,
    );
    t.equal(stdout, code, `umask ${mask.toString(8)}`);
    listener.close();
  }
});

t.test('accepts in turn, waits, ends on close', async (t) => {
  const path = join(temporaryDirectory(t), 's');
  const listener = listenOnPath(path);
  const peers = [native.socketConnect(path), native.socketConnect(path)];
  const accepted = [await listener.accept(), await listener.accept()];
  t.ok(accepted.every((fd) => fd !== undefined && fd >= 0));
  const later = listener.accept();
  peers.push(native.socketConnect(path));
  accepted.push(await later);
  const last = listener.accept();
  setImmediate(() => listener.close());
  t.equal(await last, undefined);
  t.equal(await listener.accept(), undefined);
  listener.close();
  for (const fd of [...peers, ...accepted]) {
    native.fdClose(fd as number);
  }
});

t.test('somebody else’s socket in our place stays', async (t) => {
  const path = join(temporaryDirectory(t), 's');
  const listener = listenOnPath(path);
  renameSync(path, `${path}.old`);
  const other = listenOnPath(path);
  listener.close();
  t.ok(existsSync(path));
  other.close();
  t.notOk(existsSync(path));
});

t.test('inherited descriptors (CS-027)', async (t) => {
  const path = join(temporaryDirectory(t), 's');
  const before = openDescriptors();
  const listening = listenOnFd(native.socketListen(path, 1));
  const peer = native.socketConnect(path);
  const accepted = await listening.accept();
  t.type(accepted, 'number');
  listening.close();
  t.ok(existsSync(path), 'the path is somebody else’s');
  native.fdClose(accepted as number);
  native.fdClose(peer);

  const [ours, theirs] = socketPair();
  const connected = listenOnFd(ours);
  t.equal(await connected.accept(), ours);
  t.equal(await connected.accept(), undefined, 'one session, then the end');
  connected.close();
  t.equal(native.socketIsListening(ours), 0, 'what was accepted is not ours to close');
  native.fdClose(ours);
  const unused = listenOnFd(theirs);
  unused.close();
  t.equal(await unused.accept(), undefined);
  const event = eventfd();
  for (const fd of [event, 1_000_000]) {
    t.throws(() => listenOnFd(fd), {
      name: 'ListenError',
      reason: 'invalid',
      message: /no socket/,
    });
  }
  native.fdClose(event);
  t.equal(openDescriptors(), before);
});
