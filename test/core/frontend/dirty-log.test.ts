import { fstatSync } from 'node:fs';
import t from 'tap';
import { DirtyLog } from '../../../src/core/frontend/index.js';
import { native } from '../../../src/native/index.js';

t.test('one bit a page, in words of 64', async (t) => {
  const rows: [guestEnd: bigint, sizeBytes: number][] = [
    [1n, 8],
    [64n * 4096n, 8],
    [64n * 4096n + 1n, 16],
    [0x8000_0000n, 65_536],
  ];
  for (const [guestEnd, sizeBytes] of rows) {
    const log = new DirtyLog(guestEnd);
    t.equal(log.sizeBytes, sizeBytes, `${guestEnd}`);
    t.equal(fstatSync(log.fd).size, sizeBytes);
    t.same(log.area, { mmapSizeBytes: BigInt(sizeBytes), mmapOffsetBytes: 0n });
    log.close();
  }
  for (const guestEnd of [0n, -1n, 1n << 60n]) {
    t.throws(() => new DirtyLog(guestEnd), { code: 'LOG_ADDRESS' }, `${guestEnd}`);
  }
});

t.test('what another process marked is taken once', async (t) => {
  const log = new DirtyLog(0x100_0000n);
  t.teardown(() => log.close());
  const theirs = new Uint8Array(native.mapShared(log.fd, 0, log.sizeBytes) as ArrayBuffer);
  const pages = [0, 1, 31, 32, 63, 64, 4095];
  for (const page of pages) {
    theirs[page >> 3] = (theirs[page >> 3] as number) | (1 << (page & 7));
  }
  t.same(
    log.take(),
    pages.map((page) => BigInt(page * 4096)),
  );
  t.same(log.take(), []);
  t.ok(
    theirs.every((byte) => byte === 0),
    'clean for both',
  );
});
