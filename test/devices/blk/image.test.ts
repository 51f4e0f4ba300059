import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { Image } from '../../../src/devices/blk/image.js';
import { native } from '../../../src/native/index.js';
import { openDescriptors, temporaryDirectory } from '../../support/resources.js';

const HOLDER = fileURLToPath(new URL('../../fixtures/lock-holder.js', import.meta.url));

function imageFile(t: Test, bytes = 8192): string {
  const path = join(temporaryDirectory(t), 'disk');
  writeFileSync(path, Buffer.alloc(bytes));
  return path;
}

const options = (path: string, readOnly = false) => ({ path, readOnly, direct: false });

t.test('a regular file', async (t) => {
  const path = imageFile(t);
  const image = Image.open(options(path));
  t.equal(image.sizeBytes(), 8192);
  t.same([image.directAlign, image.physicalBlockBytes], [0, 4096]);
  ftruncateSync(image.fd, 12288);
  t.equal(image.sizeBytes(), 12288, 'a grown file answers the new size');
  image.syncSize();
  image.close();
});

t.test('what can not be an image', async (t) => {
  const directory = temporaryDirectory(t);
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  symlinkSync(join(directory, 'nowhere'), join(directory, 'link'));
  const rows: readonly (readonly [path: string, readOnly: boolean, message: RegExp])[] = [
    [join(directory, 'none'), false, /does not exist/],
    [join(directory, 'link'), false, /does not exist/],
    [directory, false, /is a directory/],
    [directory, true, /no file and no block device/],
    [fifo, false, /no file and no block device/],
    ['/dev/null', false, /no file and no block device/],
    [join(directory, 'fifo', 'x'), false, /can't open/],
  ];
  const before = openDescriptors();
  for (const [path, readOnly, message] of rows) {
    const expected = { name: 'ImageError', reason: 'unusable', message };
    t.throws(() => Image.open(options(path, readOnly)), expected, path);
  }
  t.equal(openDescriptors(), before, 'nothing stays open');
});

t.test('create makes a file once and never changes one', async (t) => {
  const path = join(temporaryDirectory(t), 'new');
  const image = Image.open({ ...options(path), createBytes: 65536 });
  t.equal(image.sizeBytes(), 65536);
  image.close();
  writeFileSync(path, 'QFI\xfb, a magic number');
  const before = readFileSync(path);
  Image.open({ ...options(path), createBytes: 4096 }).close();
  t.same(readFileSync(path), before, 'what is there stays, whatever it looks like (BK-031)');
  const nowhere = join(path, 'below', 'x');
  t.throws(() => Image.open({ ...options(nowhere), createBytes: 4096 }), { name: 'ImageError' });
  t.equal(statSync(path).size, before.byteLength);
});

/** Starts a process that opens the image; what it says about it. */
async function holder(t: Test, path: string, mode: 'read' | 'write') {
  const child = spawn(process.execPath, [HOLDER, path, mode], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill());
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const release = async () => {
    const exited = once(child, 'exit');
    child.stdin.end();
    await exited;
  };
  return { said: String(line).trim(), release };
}

t.test('locks keep two writers, and a writer and a reader, apart (BK-025)', async (t) => {
  const rows = [
    ['write', 'write', false],
    ['write', 'read', false],
    ['read', 'write', false],
    ['read', 'read', true],
  ] as const;
  for (const [theirs, ours, fine] of rows) {
    const path = imageFile(t);
    const { said, release } = await holder(t, path, theirs);
    t.equal(said, 'locked');
    const open = () => Image.open(options(path, ours === 'read'));
    if (fine) {
      open().close();
    } else {
      t.throws(open, { name: 'ImageError', reason: 'locked' }, `${theirs}, then ${ours}`);
    }
    await release();
    const image = open();
    t.ok(image.fd >= 0, 'free with the process');
    image.close();
  }
});

t.test(
  'the lock belongs to the open file: another descriptor of ours is kept out too',
  async (t) => {
    const path = imageFile(t);
    const image = Image.open(options(path));
    t.throws(() => Image.open(options(path)), { name: 'ImageError', reason: 'locked' });
    const again = openSync(`/proc/self/fd/${image.fd}`, 'r+');
    native.fdClose(again);
    t.throws(
      () => Image.open(options(path)),
      { name: 'ImageError', reason: 'locked' },
      'closing a reopened one frees nothing',
    );
    image.close();
    Image.open(options(path)).close();
  },
);

t.test('lock running: two have it open, one at a time uses it', async (t) => {
  const path = join(temporaryDirectory(t), 'disk');
  writeFileSync(path, Buffer.alloc(4096));
  const both = [1, 2].map(() => Image.open({ ...options(path), lock: 'running' }));
  const [source, destination] = both as [Image, Image];
  source.acquire();
  source.acquire();
  t.throws(() => destination.acquire(), { name: 'ImageError', reason: 'locked' });
  await source.release();
  destination.acquire();
  t.throws(() => source.acquire(), { name: 'ImageError', reason: 'locked' });
  await destination.release();
  await destination.release();
  source.acquire();
  for (const image of both) {
    image.close();
  }
});
