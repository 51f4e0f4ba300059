import { existsSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { UdsListener } from '../../../src/devices/vsock/uds-listener.js';
import { check, native } from '../../../src/native/index.js';
import { openDescriptors, temporaryDirectory } from '../../support/resources.js';

const SOCK_SEQPACKET = 5;

t.test('a path of ours', async (t) => {
  const path = join(temporaryDirectory(t), 'v');
  const before = openDescriptors();
  const listener = UdsListener.seqpacket(path);
  const peer = check('connect', native.hostConnect(path, SOCK_SEQPACKET));
  t.throws(() => UdsListener.seqpacket(path), /in use by another process/);
  native.fdClose(peer);
  listener.close();
  listener.close();
  t.notOk(existsSync(path));
  t.equal(openDescriptors(), before);
});

t.test('what is in the way', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'v');
  // A socket whose process has died.
  native.fdClose(check('listen', native.hostListen(path, 1, 1)));
  const listener = UdsListener.stream(path);
  unlinkSync(path);
  writeFileSync(path, 'mine');
  listener.close();
  t.ok(existsSync(path), 'what took our place stays');
  t.throws(() => UdsListener.stream(path), /no socket/);
  symlinkSync(path, join(directory, 'link'));
  t.throws(() => UdsListener.stream(join(directory, 'link')), /no socket/);
  t.throws(() => UdsListener.stream(join(directory, 'no', 'v')), { code: 'ENOENT' });
  t.throws(() => UdsListener.stream('x'.repeat(108)), { code: 'ENAMETOOLONG' });
});
