// From rings to a file.

import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CaptureFile } from '../../../../src/devices/net/capture/capture-file.js';
import { captureTag } from '../../../../src/devices/net/capture/shared-capture.js';
import { HostEndError } from '../../../../src/devices/net/host-end-error.js';
import { frame } from '../../../support/frames.js';
import { readCapture } from '../../../support/pcapng.js';
import { temporaryDirectory } from '../../../support/resources.js';
import { showInto } from '../../../support/shown-frames.js';
import { until } from '../../../support/until.js';

const LIMIT_BYTES = 64 << 20;

t.test('frames of two workers, and what was lost', async (t) => {
  const path = join(temporaryDirectory(t), 'c.pcapng');
  const options = { path, limitBytes: LIMIT_BYTES, interfaces: ['a', 'b'], rings: 2 };
  const file = new CaptureFile({ ...options, notice: (message) => t.fail(message) });
  const shows = file.shared.rings.map((ring) => showInto(t, ring));
  for (let i = 0; i < 20; i++) {
    shows[i % 2]?.(captureTag(i % 2, i % 4 < 2), frame(100 + i, i));
  }
  await until(() => statSync(path).size > 20 * 100);
  const longest = frame(65_550);
  for (let i = 0; i < 200; i++) {
    shows[0]?.(captureTag(0, true), longest);
  }
  await file.close();
  const { interfaces, frames, drops } = readCapture(readFileSync(path));
  t.same(interfaces, ['a', 'b']);
  t.equal(frames.length + Number(drops), 220, 'every frame is there or counted');
  t.ok(Number(drops) > 0 && Number(drops) < 100, `${drops} lost: a ring has 8 MiB`);
  t.same(
    frames.slice(0, 20).map(({ bytes }) => bytes.byteLength),
    [...[0, 2, 4, 6, 8, 10, 12, 14, 16, 18], ...[1, 3, 5, 7, 9, 11, 13, 15, 17, 19]].map(
      (i) => 100 + i,
    ),
  );
  t.same([frames[0]?.inbound, frames[1]?.inbound], [true, false]);
  t.equal(statSync(path).mode & 0o777, 0o600, 'for nobody else');
});

t.test('the limit ends the capture, and the file is whole', async (t) => {
  const path = join(temporaryDirectory(t), 'c.pcapng');
  const notices: string[] = [];
  const notice = (message: string) => notices.push(message);
  const file = new CaptureFile({ path, limitBytes: 10_000, interfaces: ['a'], rings: 1, notice });
  const show = showInto(t, file.shared.rings[0] as SharedArrayBuffer);
  for (let i = 0; i < 20; i++) {
    show(captureTag(0, false), frame(1000, i));
  }
  await until(() => notices.length > 0);
  await file.close();
  show(captureTag(0, false), frame(1000));
  t.same(notices, ['the capture has reached its limit']);
  t.equal(readCapture(readFileSync(path)).frames.length, 9);
  t.ok(statSync(path).size < 10_100);
});

t.test('a disk that is full ends the capture', { skip: !existsSync('/dev/full') }, async (t) => {
  const notices: string[] = [];
  const notice = (message: string) => notices.push(message);
  const options = { path: '/dev/full', limitBytes: LIMIT_BYTES, interfaces: ['a'], rings: 1 };
  await new CaptureFile({ ...options, notice }).close();
  t.match(notices, [/^the capture ends: ENOSPC/]);
});

t.test('a file that can not be', (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 'd'));
  for (const path of [join(directory, 'd'), join(directory, 'none', 'c')]) {
    const options = { path, limitBytes: LIMIT_BYTES, interfaces: ['a'], rings: 1 };
    t.throws(() => new CaptureFile({ ...options, notice: () => {} }), HostEndError);
  }
  t.end();
});
