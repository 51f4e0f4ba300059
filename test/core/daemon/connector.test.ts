import { join } from 'node:path';
import t from 'tap';
import { connectToPath } from '../../../src/core/daemon/connector.js';
import { listenOnPath } from '../../../src/core/daemon/listener.js';
import { native } from '../../../src/native/index.js';
import { openDescriptors, temporaryDirectory, until } from '../../support/resources.js';

const QUICK = { retryMinMs: 2, retryMaxMs: 8 };
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

t.test('waits for a socket that is not there, not listened on, or full', async (t) => {
  const path = join(temporaryDirectory(t), 's');
  const before = openDescriptors();
  const connector = connectToPath(path, QUICK);
  const first = connector.accept();
  await pause(20);
  const dead = native.socketListen(path, 1);
  native.fdClose(dead); // the file stays: ECONNREFUSED
  await pause(20);
  const listener = listenOnPath(path);
  const ours = await first;
  const theirs = await listener.accept();
  t.ok(ours !== undefined && ours >= 0, 'connected at last');
  [ours, theirs].map((fd) => native.fdClose(fd as number));
  listener.close();
  const full = native.socketListen(path, 1);
  const waiting = [native.socketConnect(path), native.socketConnect(path)];
  t.ok(native.socketConnect(path) < 0, 'no more can wait');
  const second = connector.accept();
  await pause(20);
  for (const _ of [...waiting, 'the connector’s']) {
    await until('a connection', () => {
      const fd = native.socketAccept(full);
      return fd >= 0 && native.fdClose(fd) === 0;
    });
  }
  const got = await second;
  t.ok(got !== undefined, 'a backlog that is full is waited for');
  for (const fd of [full, ...waiting, got as number]) {
    native.fdClose(fd);
  }
  connector.close();
  t.equal(openDescriptors(), before);
});

t.test('who hangs up at once is asked less and less often', async (t) => {
  const path = join(temporaryDirectory(t), 's');
  const listener = listenOnPath(path);
  const connector = connectToPath(path, { retryMinMs: 10, retryMaxMs: 40, lastingMs: 1000 });
  const startMs = performance.now();
  for (let i = 0; i < 5; i++) {
    native.fdClose((await connector.accept()) as number);
    native.fdClose((await listener.accept()) as number);
  }
  const tookMs = performance.now() - startMs;
  t.ok(tookMs >= 10 + 20 + 40 + 40 - 5, `${tookMs.toFixed(0)} ms for four attempts more`);
  connector.close();
  const patient = connectToPath(path, { retryMinMs: 10_000, lastingMs: 0 });
  native.fdClose((await patient.accept()) as number);
  native.fdClose((await patient.accept()) as number);
  t.pass('one that has lasted is gone back to at once');
  patient.close();
  listener.close();
});

t.test('close ends the waiting and what was not taken', async (t) => {
  const path = join(temporaryDirectory(t), 's');
  const before = openDescriptors();
  const waiting = connectToPath(path, { retryMinMs: 10_000 });
  const accepted = waiting.accept();
  await pause(5);
  waiting.close();
  waiting.close();
  t.equal(await accepted, undefined);
  t.equal(await waiting.accept(), undefined);
  const listener = listenOnPath(path);
  const unused = connectToPath(path);
  unused.close();
  t.equal(await unused.accept(), undefined);
  const theirs = await listener.accept();
  native.fdClose(theirs as number);
  listener.close();
  t.equal(openDescriptors(), before);
});

t.test('what waiting can’t cure is said at once', async (t) => {
  const directory = temporaryDirectory(t);
  const long = join(directory, 'x'.repeat(108 - directory.length - 1));
  t.throws(() => connectToPath(long), { name: 'ListenError', reason: 'invalid' });
});
