import t from 'tap';
import { DriverRing, SharedMemory } from '../../../src/core/frontend/index.js';

interface Test {
  teardown(fn: () => void): unknown;
}

function ringOn(t: Test, base: number, eventIdx = true, inOrder = false) {
  const memory = new SharedMemory({ sizeBytes: 1 << 16, guestBase: 0x10000n });
  t.teardown(() => memory.close());
  return { memory, ring: new DriverRing(memory, { size: 4, base, eventIdx, inOrder }) };
}

t.test('a direct chain as VIRTIO 1.3 §2.7.5 lays it out', async (t) => {
  const { memory, ring } = ringOn(t, 65535);
  const head = ring.add([
    { offset: 0x800, bytes: 16, writable: false },
    { offset: 0x900, bytes: 512, writable: true },
  ]);
  t.equal(head, 0);
  t.equal(ring.freeCount, 2);
  const at = ring.descriptorOffset;
  t.same(
    [0, 16].map((o) => memory.view.getBigUint64(at + o, true)),
    [0x10800n, 0x10900n],
  );
  t.same(
    [12, 14, 28].map((o) => memory.view.getUint16(at + o, true)),
    [1, 1, 2],
    'NEXT and its index, then WRITE',
  );
  t.equal(memory.view.getUint16(ring.availOffset + 2, true), 65535, 'not shown yet');
  ring.publish();
  t.equal(memory.view.getUint16(ring.availOffset + 2, true), 0, 'the index has wrapped');
  t.equal(memory.view.getUint16(ring.availOffset + 4 + 6, true), head, 'slot 65535 % 4');
});

t.test('an indirect chain takes one descriptor', async (t) => {
  const { memory, ring } = ringOn(t, 0);
  const pieces = Array.from({ length: 9 }, (_, i) => ({
    offset: i * 16,
    bytes: 16,
    writable: i > 3,
  }));
  ring.add(pieces, { indirect: true });
  t.equal(ring.freeCount, 3);
  t.equal(memory.view.getUint32(ring.descriptorOffset + 8, true), 9 * 16);
  t.equal(memory.view.getUint16(ring.descriptorOffset + 12, true), 4);
});

t.test('used elements come back once, descriptors with them', async (t) => {
  const { memory, ring } = ringOn(t, 65535);
  const head = ring.add([{ offset: 0, bytes: 1, writable: true }]);
  ring.publish();
  t.same(ring.takeUsed(), []);
  memory.view.setUint32(ring.usedOffset + 4 + 3 * 8, head, true);
  memory.view.setUint32(ring.usedOffset + 4 + 3 * 8 + 4, 7, true);
  memory.view.setUint16(ring.usedOffset + 2, 0, true);
  t.same(ring.takeUsed(), [{ id: head, length: 7 }]);
  t.same(ring.takeUsed(), []);
  t.equal(ring.freeCount, 4);
});

t.test('in order: one used element for a batch, the next behind it (§2.7.9)', async (t) => {
  const { memory, ring } = ringOn(t, 65535, true, true);
  const heads = [1, 2, 3, 4].map((bytes) => ring.add([{ offset: 0, bytes, writable: true }]));
  const [a, b, c, d] = heads as [number, number, number, number];
  const element = (slot: number, id: number, length: number) => {
    memory.view.setUint32(ring.usedOffset + 4 + slot * 8, id, true);
    memory.view.setUint32(ring.usedOffset + 4 + slot * 8 + 4, length, true);
  };
  ring.publish();
  element(3, b, 1);
  element(1, c, 2);
  memory.view.setUint16(ring.usedOffset + 2, 2, true);
  const used = [
    { id: a, length: 1 },
    { id: b, length: 1 },
    { id: c, length: 2 },
  ];
  t.same(ring.takeUsed(), used, 'the second element lies behind the batch');
  t.equal(ring.freeCount, 3);
  element(2, d, 4);
  ring.add([{ offset: 0, bytes: 5, writable: true }]);
  memory.view.setUint16(ring.usedOffset + 2, 3, true);
  t.same(ring.takeUsed(), [{ id: d, length: 4 }]);
  ring.add([{ offset: 0, bytes: 6, writable: true }]);
  const last = ring.add([{ offset: 0, bytes: 7, writable: true }]);
  element(3, last, 7);
  memory.view.setUint16(ring.usedOffset + 2, 4, true);
  t.throws(() => ring.takeUsed(), /out of its turn/, 'the index says one, the element three');
});

t.test('kicks are wanted or not (§2.7.7)', async (t) => {
  const rows: [avail: number, event: number, wanted: boolean][] = [
    [65535, 65535, true],
    [65535, 65534, false],
    [65535, 3, false],
    [0, 0, true],
  ];
  for (const [base, event, wanted] of rows) {
    const { memory, ring } = ringOn(t, base);
    memory.view.setUint16(ring.usedOffset + 4 + 8 * 4, event, true);
    ring.add([{ offset: 0, bytes: 1, writable: true }]);
    t.equal(ring.publish(), wanted, `avail ${base}, avail_event ${event}`);
  }
  const { memory, ring } = ringOn(t, 0, false);
  ring.add([{ offset: 0, bytes: 1, writable: true }]);
  memory.view.setUint16(ring.usedOffset, 1, true);
  t.equal(ring.publish(), false, 'NO_NOTIFY without event index');
});
