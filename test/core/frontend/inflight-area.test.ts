import t from 'tap';
import { InflightArea } from '../../../src/core/frontend/index.js';
import { native } from '../../../src/native/index.js';
import { memfd, openDescriptors } from '../../support/resources.js';

const BYTES = 4096;
const LAYOUT = {
  mmapSizeBytes: BigInt(BYTES),
  mmapOffsetBytes: 0n,
  queueCount: 2,
  queueSize: 128,
  encodedBytes: 24 as const,
};
const view = (area: InflightArea) =>
  new Uint8Array(native.mapShared(area.fd, 0, BYTES) as ArrayBuffer);

t.test('saved, loaded, reset, freed', async (t) => {
  const before = openDescriptors();
  const area = new InflightArea(LAYOUT, memfd(BYTES));
  view(area).set([1, 2, 3], 100);
  const saved = InflightArea.save(area);
  t.same([...saved.subarray(0, 10)], [0, 0, 0, 0, 0, 0, 0x10, 0, 0, 128], 'size, queue size');
  const loaded = InflightArea.load(saved, 2) as InflightArea;
  t.same(loaded.layout, LAYOUT);
  t.same(view(loaded), view(area));
  loaded.reset();
  t.ok(view(loaded).every((byte) => byte === 0));
  t.equal(view(area)[100], 1, 'the other one is its own');
  for (const one of [area, area, loaded]) {
    one.free();
  }
  t.equal(openDescriptors(), before);
});

t.test('no area', async (t) => {
  t.same(InflightArea.save(undefined), new Uint8Array(8));
  t.equal(InflightArea.load(new Uint8Array(8), 1), undefined);
});

t.test('streams that are none', async (t) => {
  const saved = new Uint8Array(10 + 16);
  new DataView(saved.buffer).setBigUint64(0, 16n);
  const huge = saved.slice();
  new DataView(huge.buffer).setBigUint64(0, 1n << 40n);
  const rows: [what: string, bytes: Uint8Array][] = [
    ['nothing', new Uint8Array(0)],
    ['seven bytes', new Uint8Array(7)],
    ['cut off', saved.subarray(0, 25)],
    ['too long', new Uint8Array([...saved, 0])],
    ['size of its own', huge],
  ];
  for (const [what, bytes] of rows) {
    t.throws(() => InflightArea.load(bytes, 1), { code: 'INVALID_INFLIGHT_AREA' }, what);
  }
  const before = openDescriptors();
  for (const mmapSizeBytes of [0n, 1n << 40n]) {
    const call = () => new InflightArea({ ...LAYOUT, mmapSizeBytes }, memfd(BYTES));
    t.throws(call, { code: 'INVALID_INFLIGHT_AREA' });
  }
  t.equal(openDescriptors(), before, 'the descriptor is closed');
});
