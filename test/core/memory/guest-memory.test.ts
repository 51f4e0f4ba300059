import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { GuestMemory, type RegionDescription } from '../../../src/core/memory/guest-memory.js';
import { native } from '../../../src/native/index.js';
import { eventfd, memfd, openDescriptors, temporaryDirectory } from '../../support/resources.js';

const PAGE = 4096n;

function region(values: Partial<RegionDescription> = {}): RegionDescription {
  return {
    guestAddress: 0n,
    userAddress: 0x7000_0000n,
    sizeBytes: 4n * PAGE,
    mmapOffsetBytes: 0n,
    ...values,
  };
}

/** Regions next to each other, `at` sizes apart. */
function regionAt(at: bigint): RegionDescription {
  const offset = at * 4n * PAGE;
  return region({ guestAddress: offset, userAddress: 0x7000_0000n + offset });
}

t.test('an immutable set: every change is a new memory', async (t) => {
  const fd = memfd(16384);
  const none = GuestMemory.empty();
  const one = none.with(fd, regionAt(0n));
  const two = one.with(fd, regionAt(1n));
  const other = two.without(regionAt(0n));
  t.same(
    [none, one, two, other].map((memory) => memory.regionCount),
    [0, 1, 2, 1],
  );
  t.ok(one.holdsUser(0x7000_0000n, 1n));
  t.notOk(other.holdsUser(0x7000_0000n, 1n));
  t.equal(new Set([none.id, one.id, two.id, other.id]).size, 4);
  none.release();
  one.release();
  t.ok(two.holdsUser(0x7000_0000n, 1n), 'what another memory shares stays mapped');
  t.throws(() => one.regionCount, TypeError, 'released');
  two.release();
  other.release();
  native.fdClose(fd);
});

t.test('holdsUser: whole ranges within one region', async (t) => {
  const fd = memfd(32768);
  const memory = GuestMemory.of([
    { fd, ...regionAt(0n) },
    { fd, ...regionAt(1n) },
  ]);
  const base = 0x7000_0000n;
  const end = base + 4n * PAGE;
  const rows: readonly (readonly [address: bigint, bytes: bigint, holds: boolean])[] = [
    [base, 4n * PAGE, true],
    [base, 4n * PAGE + 1n, false], // regions next to each other are not one
    [end - 1n, 1n, true],
    [end - 1n, 2n, false],
    [end, 4n * PAGE, true],
    [base - 1n, 1n, false],
    [end + 4n * PAGE, 1n, false],
    [0n, 1n, false],
    [base, 2n ** 64n - 1n, false],
    [2n ** 64n - 1n, 2n ** 64n - 1n, false],
  ];
  for (const [address, bytes, holds] of rows) {
    t.equal(memory.holdsUser(address, bytes), holds, `${address} + ${bytes}`);
  }
  memory.release();
  native.fdClose(fd);
});

t.test('what can not be mapped throws and changes nothing', async (t) => {
  const before = openDescriptors();
  const fd = memfd(16384);
  const path = join(temporaryDirectory(t), 'read-only');
  writeFileSync(path, Buffer.alloc(16384));
  const readOnly = openSync(path, 'r');
  const event = eventfd();
  const closed = 1_000_000;
  const memory = GuestMemory.empty().with(fd, region());
  const far = { guestAddress: 1n << 40n, userAddress: 1n << 41n };
  const rows: readonly (readonly [code: string, fd: number, RegionDescription])[] = [
    ['EINVAL', fd, region({ ...far, sizeBytes: 0n })],
    ['EINVAL', fd, region({ ...far, sizeBytes: 2n ** 64n - 1n })],
    ['EINVAL', fd, region({ ...far, guestAddress: 2n ** 64n - PAGE })],
    ['EINVAL', fd, region({ ...far, userAddress: 2n ** 64n - PAGE })],
    ['EOVERFLOW', fd, region({ ...far, sizeBytes: 16385n })],
    ['EOVERFLOW', fd, region({ ...far, mmapOffsetBytes: 1n })],
    ['EBADF', event, region(far)],
    ['EBADF', closed, region(far)],
    ['EACCES', readOnly, region(far)],
    ['EEXIST', fd, region({ guestAddress: 3n * PAGE, userAddress: 1n << 41n })],
    ['EEXIST', fd, region({ guestAddress: 1n << 40n, userAddress: 0x7000_0000n - 1n })],
  ];
  for (const [code, bad, description] of rows) {
    t.throws(() => memory.with(bad, description), { name: 'SystemError', code }, code);
  }
  t.throws(() => memory.without(region({ sizeBytes: PAGE })), { code: 'ENOENT' });
  t.equal(memory.regionCount, 1);
  memory.release();
  for (const open of [fd, readOnly, event]) {
    native.fdClose(open);
  }
  t.equal(openDescriptors(), before, 'no descriptor is kept');
});

t.test('of: all regions or none, in any order', async (t) => {
  const fd = memfd(16384);
  const rows = [regionAt(2n), regionAt(0n), regionAt(1n)].map((row) => ({ fd, ...row }));
  const memory = GuestMemory.of(rows);
  t.equal(memory.regionCount, 3);
  memory.release();
  t.throws(() => GuestMemory.of([...rows, { fd, ...regionAt(2n) }]), { code: 'EEXIST' });
  const empty = GuestMemory.of([]);
  t.equal(empty.regionCount, 0);
  empty.release();
  native.fdClose(fd);
});
