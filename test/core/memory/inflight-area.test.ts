// Making and mapping; the bytes inside are native/test's.

import { closeSync, fstatSync } from 'node:fs';
import t from 'tap';
import { InflightArea } from '../../../src/core/memory/inflight-area.js';
import { native } from '../../../src/native/index.js';
import { eventfd, memfd, openDescriptors } from '../../support/resources.js';

const AREA = { mmapSizeBytes: 4224n, mmapOffsetBytes: 0n, queueCount: 2, queueSize: 128 };

t.test('made, mapped, released', async (t) => {
  const before = openDescriptors();
  const rows: readonly (readonly [packed: boolean, sizeBytes: number])[] = [
    [false, 4224],
    [true, 8320],
  ];
  for (const [packed, sizeBytes] of rows) {
    const file = InflightArea.create(packed, 2, 128);
    t.equal(file.sizeBytes, sizeBytes);
    t.equal(fstatSync(file.fd).size, sizeBytes);
    const areas = [InflightArea.map(file.fd, AREA), InflightArea.map(file.fd, AREA)];
    t.not(areas[0]?.id, areas[1]?.id);
    closeSync(file.fd);
    for (const area of areas) {
      area.release();
      area.release();
    }
  }
  t.equal(openDescriptors(), before);
  t.throws(() => InflightArea.create(false, 0, 128), { code: 'EINVAL' });
});

t.test('CS-152: what can not be mapped says why', async (t) => {
  const short = memfd(4223);
  const event = eventfd();
  const rows: readonly (readonly [fd: number, values: Partial<typeof AREA>, code: string])[] = [
    [short, {}, 'EOVERFLOW'],
    [short, { queueCount: 0 }, 'EINVAL'],
    [short, { queueSize: 0 }, 'EINVAL'],
    [short, { mmapSizeBytes: 2048n }, 'EINVAL'],
    [short, { mmapOffsetBytes: 2n ** 64n - 64n }, 'EINVAL'],
    [event, {}, 'EBADF'],
    [1_000_000, {}, 'EBADF'],
  ];
  for (const [fd, values, code] of rows) {
    t.throws(() => InflightArea.map(fd, { ...AREA, ...values }), { code }, code);
  }
  native.fdClose(short);
  native.fdClose(event);
});
