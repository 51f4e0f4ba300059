import t from 'tap';
import {
  EVENT_DESC,
  EVENT_DISABLE,
  EVENT_ENABLE,
  PackedDriverRing,
  SharedMemory,
} from '../../../src/core/frontend/index.js';

interface Test {
  teardown(fn: () => void): unknown;
}

const SIZE = 5;
const A = 0x80;
const U = 0x8000;

function ringOn(t: Test, base?: number, eventIdx = true, inOrder = false) {
  const memory = new SharedMemory({ sizeBytes: 1 << 16, guestBase: 0x10000n });
  t.teardown(() => memory.close());
  const at = base === undefined ? {} : { base };
  const ring = new PackedDriverRing(memory, { size: SIZE, eventIdx, inOrder, ...at });
  const entry = (index: number) => {
    const from = ring.descriptorOffset + index * 16;
    const { view } = memory;
    return {
      address: view.getBigUint64(from, true),
      length: view.getUint32(from + 8, true),
      id: view.getUint16(from + 12, true),
      flags: view.getUint16(from + 14, true),
    };
  };
  /** As a device returns a buffer. */
  const giveBack = (index: number, id: number, length: number, wrap: boolean) => {
    const at = ring.descriptorOffset + index * 16;
    memory.view.setUint32(at + 8, length, true);
    memory.view.setUint16(at + 12, id, true);
    memory.view.setUint16(at + 14, wrap ? A | U : 0, true);
  };
  const deviceEvent = (place: number, flags: number) => {
    memory.view.setUint16(ring.usedOffset, place, true);
    memory.view.setUint16(ring.usedOffset + 2, flags, true);
  };
  const driverEvent = () => [
    memory.view.getUint16(ring.availOffset, true),
    memory.view.getUint16(ring.availOffset + 2, true),
  ];
  return { memory, ring, entry, giveBack, deviceEvent, driverEvent };
}

const buffer = (offset: number, writable: boolean) => ({ offset, bytes: offset, writable });

t.test('a chain as VIRTIO 1.3 §2.8.6 lays it out, over the end of the ring', async (t) => {
  const { ring, entry } = ringOn(t, 0x8000 | 3);
  const id = ring.add([buffer(16, false), buffer(32, true), buffer(64, true)]);
  t.equal(ring.freeCount, 2);
  t.equal(entry(3).flags & (A | U), 0, 'the first is not shown yet');
  ring.publish();
  t.same(
    [3, 4, 0].map(entry),
    [
      { address: 0x10010n, length: 16, id, flags: A | 1 },
      { address: 0x10020n, length: 32, id, flags: A | 2 | 1 },
      { address: 0x10040n, length: 64, id, flags: U | 2 },
    ],
    'AVAIL is the wrap counter, USED its inverse, and both change at the end',
  );
  t.equal(ring.resumeBase, 0x00010001);
});

t.test('an indirect chain takes one entry, and its table has no NEXT (§2.8.7)', async (t) => {
  const { memory, ring, entry } = ringOn(t);
  ring.add([buffer(16, false), buffer(32, true)], { indirect: true });
  ring.publish();
  t.equal(ring.freeCount, SIZE - 1);
  const { address, length, flags } = entry(0);
  t.same([length, flags], [32, A | 4]);
  const table = Number(address - memory.guestBase);
  t.same(
    [14, 30].map((at) => memory.view.getUint16(table + at, true)),
    [0, 2],
  );
});

t.test('used descriptors come back once, entries and ids with them', async (t) => {
  const { ring, giveBack, driverEvent } = ringOn(t, 0x8000 | 3);
  const ids = [1, 2].map(() => ring.add([buffer(16, false), buffer(32, true)]));
  ring.publish();
  t.same([ring.hasUsed, ring.takeUsed()], [false, []]);
  giveBack(3, ids[1] as number, 7, true);
  t.equal(ring.hasUsed, true);
  t.same(ring.takeUsed(), [{ id: ids[1], length: 7 }]);
  t.same([ring.hasUsed, ring.freeCount], [false, 3]);
  t.same(driverEvent(), [0, EVENT_DESC], 'two entries on, over the end: the wrap counter is 0');
  giveBack(0, ids[0] as number, 8, false);
  t.same(ring.takeUsed(), [{ id: ids[0], length: 8 }]);
  giveBack(2, 4, 0, false);
  t.throws(() => ring.takeUsed(), /id 4/, 'a buffer the device never had');
  t.throws(() => ring.add(Array(6).fill(buffer(16, false))), RangeError);
});

t.test('in order: one used descriptor for a batch, the next behind it (§2.8.11)', async (t) => {
  const { ring, giveBack } = ringOn(t, 0x8000 | 3, true, true);
  const ids = [1, 2, 1].map((pieces) => ring.add(Array(pieces).fill(buffer(9, true))));
  const [a, b, c] = ids as [number, number, number];
  ring.publish();
  giveBack(3, b, 7, true);
  const batch = [
    { id: a, length: 9 },
    { id: b, length: 7 },
  ];
  t.same(ring.takeUsed(), batch);
  t.same([ring.hasUsed, ring.freeCount], [false, SIZE - 1]);
  giveBack(1, c, 8, false);
  t.same(ring.takeUsed(), [{ id: c, length: 8 }]);
});

t.test('kicks are wanted or not (§2.8.10)', async (t) => {
  const rows: readonly (readonly [base: number, place: number, flags: number, wanted: boolean])[] =
    [
      [0x8000, 0, EVENT_ENABLE, true],
      [0x8000, 0, EVENT_DISABLE, false],
      [0x8000, 0x8000, EVENT_DESC, true],
      [0x8000, 0x8001, EVENT_DESC, true],
      [0x8000, 0x8002, EVENT_DESC, false],
      [0x8000, 0x0000, EVENT_DESC, false],
      [0x8004, 0x0000, EVENT_DESC, true],
      [0x8004, 0x8000, EVENT_DESC, false],
      [0x0004, 0x8000, EVENT_DESC, true],
    ];
  for (const [base, place, flags, wanted] of rows) {
    const { ring, deviceEvent } = ringOn(t, base);
    deviceEvent(place, flags);
    ring.add([buffer(16, false), buffer(32, true)]);
    t.equal(ring.publish(), wanted, `from 0x${base.toString(16)}, place 0x${place.toString(16)}`);
  }
  t.same(ringOn(t, 0x8002).driverEvent(), [0x8002, EVENT_DESC]);
  t.same(ringOn(t, 0x8002, false).driverEvent(), [0x8002, EVENT_ENABLE]);
});
