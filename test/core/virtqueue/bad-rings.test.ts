// The catalogue of bad rings on the public queue, by both faces: what is wrong ends the queue with its
// code, what only looks wrong is served, and the process and the next queue are as before.

import t, { type Test } from 'tap';
import { GuestMemory } from '../../../src/core/memory/guest-memory.js';
import { Virtqueue } from '../../../src/core/virtqueue/index.js';
import { type Face, I, N, type Raw, RawRing, W } from '../../support/raw-ring.js';
import { openDescriptors } from '../../support/resources.js';

type Outcome = (readonly [readable: number, writable: number] | string)[];
type Row = readonly [what: string, offer: (ring: RawRing) => void, outcome: Outcome];

const AVAIL_INDEX: Outcome = ['INVALID_AVAIL_RING_INDEX'];
const DESCRIPTOR_INDEX: Outcome = ['INVALID_DESCRIPTOR_INDEX'];
const CHAIN: Outcome = ['INVALID_CHAIN'];
const INDIRECT: Outcome = ['INVALID_INDIRECT_DESCRIPTOR'];
const TABLE: Outcome = ['INVALID_INDIRECT_DESCRIPTOR_TABLE'];
const MEMORY: Outcome = ['GUEST_MEMORY'];
const OVERFLOW: Outcome = ['ADDRESS_OVERFLOW'];

const MAX = 0xffffffff;
/** Tables of 1024 entries are taken even by small rings: Linux sends them. */
const TABLE_MAX = 1024;

const linked = (ring: RawRing, count: number, bytes = 4): Raw[] =>
  Array.from({ length: count }, (_, i): Raw => [ring.data, bytes, N, i + 1]);

/** One descriptor that names a table of these entries. */
function named(ring: RawRing, entries: readonly Raw[], flags = I, shift = 0): RawRing {
  const at = ring.table(entries, shift);
  return ring.descriptors([at, 16 * entries.length, flags]).heads(0);
}

/** A single buffer, and what comes of it. */
const buffer = (address: (ring: RawRing) => bigint, bytes: number) => (ring: RawRing) =>
  ring.descriptors([address(ring), bytes]).heads(0);

const SPLIT: readonly Row[] = [
  ['RG-001: one more than the ring has', (r) => r.rig.split.setAvailIndex(9), AVAIL_INDEX],
  ['RG-002: one back', (r) => r.rig.split.setAvailIndex(-1), AVAIL_INDEX],
  ['RG-004: head = size', (r) => r.heads(8), DESCRIPTOR_INDEX],
  ['RG-004: head 65535', (r) => r.heads(65535), DESCRIPTOR_INDEX],
  ['RG-005', (r) => r.descriptors([r.data, 4]).heads(0, 0), [[4, 0], ...CHAIN]],
  ['RG-006', (r) => r.descriptors([r.data, 4, N, 1], [r.data, 4]).heads(0, 1), [[8, 0], ...CHAIN]],
  ['RG-007: next = size', (r) => r.descriptors([r.data, 4, N, 8]).heads(0), DESCRIPTOR_INDEX],
  ['RG-007: next 65535', (r) => r.descriptors([r.data, 4, N, 65535]).heads(0), DESCRIPTOR_INDEX],
  ['RG-008', (r) => r.descriptors([r.data, 4, N, 0]).heads(0), CHAIN],
  ['RG-009', (r) => r.descriptors(...linked(r, 7), [r.data, 4, N, 2]).heads(0), CHAIN],
  ['RG-010: of size', (r) => r.descriptors(...linked(r, 7), [r.data, 4]).heads(0), [[32, 0]]],
  ['RG-010: longer', (r) => r.descriptors(...linked(r, 7), [r.data, 4, N, 0]).heads(0), CHAIN],
  ['RG-011', (r) => r.descriptors([r.data, 0, N, 1], [r.data, 0, N, 0]).heads(0), CHAIN],
  ['RG-012', (r) => r.descriptors([r.data, 4, 0xfff8]).heads(0), [[4, 0]]],
  ['RG-013', (r) => named(r, [[r.data, 4]], I | N), INDIRECT],
  ['RG-014', (r) => named(r, [[r.data, 4]], I | W), [[4, 0]]],
  ['RG-015', (r) => r.descriptors([r.table([]), 0, I]).heads(0), TABLE],
  ['RG-016', (r) => r.descriptors([r.table([[r.data, 4]]), 24, I]).heads(0), TABLE],
  ['RG-017', (r) => r.descriptors([r.data, 16 * (TABLE_MAX + 1), I]).heads(0), TABLE],
  ['RG-017: 2^32 - 16', (r) => r.descriptors([r.data, MAX - 15, I]).heads(0), TABLE],
  ['RG-018', (r) => r.descriptors([r.joint - 8n, 16, I]).heads(0), [[0, 0]]],
  ['RG-019', (r) => r.descriptors([r.hole - 8n, 16, I]).heads(0), MEMORY],
  ['RG-020', (r) => named(r, [[r.data, 4]], I, 3), [[4, 0]]],
  ['RG-021', (r) => named(r, [[r.data, 16, I]]), INDIRECT],
  ['RG-022', (r) => named(r, [[r.data, 4, N, 1]]), DESCRIPTOR_INDEX],
  ['RG-023', (r) => named(r, [...linked(r, 2), [r.data, 4, N, 1]]), CHAIN],
  [
    'RG-024',
    (r) => r.descriptors([r.data, 4, N, 1], [r.table([[r.data, 6, W]]), 16, I]).heads(0),
    [[4, 6]],
  ],
  ['RG-027', (r) => r.descriptors([r.data, 4, W | N, 1], [r.data, 4]).heads(0), CHAIN],
  [
    'RG-028: first, between, last',
    (r) => {
      const rest: Raw[] = [
        [0n, 0, N, 3],
        [r.data, 6, W | N, 4],
        [0n, 0, 0],
      ];
      r.descriptors([0n, 0, N, 1], [r.data, 4, N, 2], ...rest).heads(0);
    },
    [[4, 6]],
  ],
  ['RG-028: nothing else', (r) => r.descriptors([0n, 0]).heads(0), [[0, 0]]],
  ['RG-029', buffer(() => 2n ** 64n - 2n, 4), MEMORY],
  ['RG-030', buffer(() => 0n, 4), MEMORY],
  ['RG-031', buffer(({ hole }) => hole - 2n, 4), MEMORY],
  ['RG-032', buffer(({ joint }) => joint - 2n, 4), [[4, 0]]],
  ['RG-033: the last byte', buffer(({ hole }) => hole - 4n, 4), [[4, 0]]],
  ['RG-033: the one behind', buffer(({ hole }) => hole - 4n, 5), MEMORY],
  ['RG-035', (r) => named(r, [...linked(r, 255, 4096), [r.data, 4096]]), [[256 * 4096, 0]]],
  ['RG-036', (r) => r.descriptors([r.data, 4, N, 1], [r.data, MAX - 3]).heads(0), OVERFLOW],
  ['RG-037', buffer(({ data }) => data, MAX), MEMORY],
  ['RG-045', (r) => r.rig.split.setAvailIndex(0x7777), AVAIL_INDEX],
  ['RG-050', buffer(() => ownAddress(), 4), MEMORY],
];

/** One of this process: a function of its own program lies somewhere above. */
function ownAddress(): bigint {
  return 0x7fff_ffff_e000n;
}

const PACKED: readonly Row[] = [
  ['PK-001: AVAIL and USED of the round before', (r) => r.rig.packedRing.writeFlags(0, 0x8000), []],
  ['PK-001: both set', (r) => r.rig.packedRing.writeFlags(0, 0x8080), []],
  ['PK-002', (r) => r.chain([r.data, 4, N]), []],
  ['PK-004', (r) => r.chain(...linked(r, 8)), CHAIN],
  ['PK-004: behind a good one', (r) => r.chain([r.data, 4], ...linked(r, 7)), [[4, 0], ...CHAIN]],
  ['PK-005: size', (r) => r.chain([r.data, 4, 0, 8]), DESCRIPTOR_INDEX],
  ['PK-005: 65535', (r) => r.chain([r.data, 4, 0, 65535]), DESCRIPTOR_INDEX],
  ['PK-005: of any but the last', (r) => r.chain([r.data, 4, N, 99], [r.data, 4]), [[8, 0]]],
  ['PK-006', (r) => r.chain([r.data, 4, 0, 3]).chain([r.data, 4, 0, 3]), [[4, 0], ...CHAIN]],
  ['PK-007: no table', (r) => r.chain([r.table([]), 0, I]), TABLE],
  ['PK-007: half an entry', (r) => r.chain([r.table([[r.data, 4]]), 24, I]), TABLE],
  ['PK-007: too long', (r) => r.chain([r.data, 16 * (TABLE_MAX + 1), I]), TABLE],
  ['PK-007: outside', (r) => r.chain([r.hole - 8n, 16, I]), MEMORY],
  [
    'PK-007: and a list',
    (r) => r.chain([r.table([[r.data, 4]]), 16, I | N], [r.data, 4]),
    INDIRECT,
  ],
  [
    'PK-008',
    (r) =>
      r.chain([
        r.table([
          [r.data, 4, N | I, 9],
          [r.data, 6, W | N, 9],
        ]),
        32,
        I,
      ]),
    [[4, 6]],
  ],
  ['PK-011: flags nobody knows', (r) => r.chain([r.data, 4, 0x7f78]), [[4, 0]]],
  ['PK-015', (r) => r.chain([0n, 0, N], [0n, 0]), [[0, 0]]],
  ['RG-027 of a packed ring', (r) => r.chain([r.data, 4, W | N], [r.data, 4]), CHAIN],
  ['RG-029 of a packed ring', (r) => r.chain([2n ** 64n - 2n, 4]), MEMORY],
  ['RG-031 of a packed ring', (r) => r.chain([r.hole - 2n, 4]), MEMORY],
  ['RG-032 of a packed ring', (r) => r.chain([r.joint - 2n, 4]), [[4, 0]]],
  ['RG-036 of a packed ring', (r) => r.chain([r.data, 4, N], [r.data, MAX - 3]), OVERFLOW],
];

/** The same by either face, each on a queue of its own; nothing is left open in the end. */
function onFaces(name: string, scene: (t: Test, face: Face) => void): void {
  for (const face of ['plain', 'batch'] as const) {
    t.test(`${name}, ${face} face`, async (t) => scene(t, face));
  }
}

for (const [packed, rows] of [
  [false, SPLIT],
  [true, PACKED],
] as const) {
  onFaces(packed ? 'packed rings' : 'split rings', (t, face) => {
    const before = openDescriptors();
    for (const [what, offer, outcome] of rows) {
      const ring = new RawRing(t, face, { packed, size: 8 });
      offer(ring);
      t.same(ring.popAll(), outcome, what);
      const broken = typeof outcome.at(-1) === 'string';
      t.equal(ring.queue.isValid(), !broken, `${what}: goes on, or not`);
      ring.rig.close();
    }
    t.equal(openDescriptors(), before, 'nothing is left open');
  });
}

onFaces('RG-003: a driver that refills at every pop', (t, face) => {
  const ring = new RawRing(t, face, { packed: false, size: 16 });
  const refill = () => ring.rig.offer();
  ring.rig.offer(8);
  let served = 0;
  for (const chain of ring.queue) {
    chain.complete();
    ring.rig.driver.takeUsed();
    refill();
    served++;
  }
  t.equal(served, 8, 'one round, then others get their turn');
  t.same(ring.popAll().length, 8);
});

onFaces('RG-026: every head on one maximal table', (t, face) => {
  for (const packed of [false, true]) {
    const ring = new RawRing(t, face, { packed, size: 8 });
    const entries = Array.from(
      { length: TABLE_MAX },
      (_, i): Raw => [ring.data, 65536, i < TABLE_MAX - 1 ? N : 0, i + 1],
    );
    const at = ring.table(entries);
    for (let head = 0; head < 8; head++) {
      if (packed) {
        ring.chain([at, 16 * TABLE_MAX, I, head]);
      } else {
        ring.rig.split.writeDescriptor(head, {
          ...{ address: at, length: 16 * TABLE_MAX, flags: I, next: 0 },
        });
        ring.heads(head);
      }
    }
    t.same(ring.popAll().length, 4, '256 MiB, then the driver waits');
    t.equal(ring.queue.isValid(), true);
    ring.queue.addUsed(2, 0);
    t.same(ring.popAll().length, 1);
  }
});

onFaces('RG-034: the device made to write over the rings', (t, face) => {
  const ring = new RawRing(t, face, { packed: false, size: 8 });
  const { shared, split } = ring.rig;
  ring.descriptors([shared.guestAddress(split.availOffset), 16, W]).heads(0);
  const chain = ring.queue.popDescriptorChain();
  chain?.writer.write(new Uint8Array(16).fill(0x55));
  chain?.complete();
  t.same(ring.popAll(), AVAIL_INDEX);
});

onFaces('RG-038 PK-003: indices that wrap', (t, face) => {
  for (const [packed, size, base] of [
    [false, 8, 65530],
    [true, 7, 0x8005],
    [true, 7, 5],
  ] as const) {
    const ring = new RawRing(t, face, { packed, size, base });
    for (let round = 0; round < 30; round++) {
      const ids = ring.rig.offer(3);
      t.same(ring.popAll(), Array(3).fill([4, 16]));
      for (const id of ids) {
        ring.queue.addUsed(id, round);
      }
      t.equal(ring.queue.needsNotification(), true, 'the driver asked at the next');
      t.same(
        ring.rig.driver.takeUsed(),
        ids.map((id) => ({ id, length: round })),
      );
      ring.rig.shared.reset(512 << 10);
    }
  }
});

onFaces('RG-039 PK-009: garbage in the driver’s event', (t, face) => {
  for (const packed of [false, true]) {
    const ring = new RawRing(t, face, { packed, size: 8 });
    for (const place of [0, 7, 8, 0x7fff, 0x8000, 0xffff]) {
      if (packed) {
        ring.rig.packedRing.setDriverEvent(place, place & 3);
      } else {
        ring.rig.split.setUsedEvent(place);
      }
      const [id] = ring.rig.offer();
      t.same(ring.popAll(), [[4, 16]]);
      ring.queue.addUsed(id as number, 0);
      t.type(ring.queue.needsNotification(), 'boolean');
      ring.rig.driver.takeUsed();
    }
  }
});

onFaces('RG-040: interrupts off and on', (t, face) => {
  const ring = new RawRing(t, face, { packed: false, size: 8, eventIdx: false });
  const { shared, split } = ring.rig;
  for (const flags of [0, 1, 0xfffe, 0xffff, 0]) {
    shared.view.setUint16(split.availOffset, flags, true);
    const [id] = ring.rig.offer();
    ring.popAll();
    ring.queue.addUsed(id as number, 0);
    t.equal(ring.queue.needsNotification(), (flags & 1) === 0, `${flags}`);
    ring.rig.driver.takeUsed();
  }
});

onFaces('RG-041 PK-012: everything rewritten once it was popped', (t, face) => {
  for (const packed of [false, true]) {
    const ring = new RawRing(t, face, { packed, size: 8, headerBytes: 4 });
    const { shared, driver } = ring.rig;
    const [id] = ring.rig.offer();
    const batch = ring.queue.popBatch(1);
    const chain = ring.queue.chainOf(batch, 0);
    const header = batch.headerWord(0, 0);
    shared.bytes.fill(0xff, driver.descriptorOffset, driver.descriptorOffset + 8 * 16);
    shared.view.setUint32(0, 0, true);
    t.equal(batch.headerWord(0, 0), header, 'a private copy');
    t.same([chain.readableBytes, chain.writableBytes], [4, 16]);
    chain.writer.write(new Uint8Array(16));
    chain.complete();
    t.equal(ring.queue.isValid(), true);
    t.equal(ring.queue.inFlightCount, 0);
    // A packed ring's used descriptor goes into what the driver has overwritten.
    const at = packed ? driver.descriptorOffset + 8 : driver.usedOffset + 4;
    const [idAt, lengthAt] = packed ? [at + 4, at] : [at, at + 4];
    t.equal(shared.view.getUint16(idAt, true), id);
    t.equal(shared.view.getUint32(lengthAt, true), 16);
  }
});

onFaces('RG-043: used.idx written by the driver', (t, face) => {
  const ring = new RawRing(t, face, { packed: false, size: 8 });
  const { shared, split } = ring.rig;
  const ids = ring.rig.offer(2);
  ring.popAll();
  ring.queue.addUsed(ids[0] as number, 0);
  shared.view.setUint16(split.usedOffset + 2, 77, true);
  t.equal(ring.queue.usedIdx(), 77, 'as memory has it');
  ring.queue.addUsed(ids[1] as number, 0);
  t.same([ring.queue.usedIdx(), ring.queue.nextUsed], [2, 2], 'as we have counted');
});

onFaces('RG-044: chains without a kick', (t, face) => {
  for (const packed of [false, true]) {
    const ring = new RawRing(t, face, { packed, size: 8 });
    t.equal(ring.queue.enableNotification(), false, 'a kick without chains finds none');
    t.same(ring.popAll(), []);
    ring.rig.offer();
    t.equal(ring.queue.enableNotification(), true, 'one that would never be kicked for');
  }
});

onFaces('RG-047 RG-048: every head comes back, with the length that was written', (t, face) => {
  for (const packed of [false, true]) {
    const ring = new RawRing(t, face, { packed, size: 8 });
    const mark = ring.rig.shared.mark();
    for (let round = 0; round < 2000; round++) {
      ring.rig.shared.reset(mark);
      const ids = ring.rig.offer(4, round % 2 === 1);
      ring.popAll();
      for (const id of ids) {
        ring.queue.addUsed(id, round);
      }
      const used = ring.rig.driver.takeUsed();
      if (used.length !== 4 || used.some(({ length }) => length !== round)) {
        t.fail(`round ${round}: ${JSON.stringify(used)}`);
        break;
      }
    }
    t.equal(ring.queue.inFlightCount, 0);
  }
});

onFaces('RG-049: no stale bytes in a header', (t, face) => {
  const ring = new RawRing(t, face, { packed: false, size: 8, headerBytes: 48 });
  ring.rig.driver.add([ring.rig.readable(new Uint8Array(48).fill(0xee))]);
  ring.rig.driver.add([ring.rig.readable(Uint8Array.of(1, 2))]);
  ring.rig.driver.publish();
  for (const expected of [Array(12).fill(0xeeeeeeee), [0x0201, ...Array(11).fill(0)]]) {
    const batch = ring.queue.popBatch(1);
    t.same(
      Array.from({ length: 12 }, (_, word) => batch.headerWord(0, word)),
      expected,
    );
  }
});

onFaces('RG-051 PK-010: the smallest and the largest ring, and odd ones', (t, face) => {
  for (const [packed, size] of [
    [false, 1],
    [false, 32768],
    [true, 1],
    [true, 3],
    [true, 32767],
    [true, 32768],
  ] as const) {
    const ring = new RawRing(t, face, { packed, size, memoryBytes: 4 << 20 });
    const count = Math.min(size, 1000);
    for (let i = 0; i < count; i++) {
      ring.rig.driver.add([{ offset: 0, bytes: 4, writable: false }]);
    }
    ring.rig.driver.publish();
    t.same(ring.popAll().length, count, `${packed ? 'packed' : 'split'} ${size}`);
    ring.rig.close();
  }
  for (const [packed, maxSize] of [
    [false, 32769],
    [true, 32769],
    [true, 0],
  ] as const) {
    const make = () => new Virtqueue({ memory: GuestMemory.empty(), maxSize, packed });
    t.throws(make, { code: 'INVALID_MAX_SIZE' }, `${packed ? 'packed' : 'split'} ${maxSize}`);
  }
});

onFaces('RG-042: memory of a running ring removed', (t, face) => {
  for (const packed of [false, true]) {
    const ring = new RawRing(t, face, { packed, size: 8 });
    const { fd, region } = ring.rig.shared;
    const elsewhere = { ...region, fd, guestAddress: 1n << 40n, userAddress: 1n << 40n };
    for (const without of [GuestMemory.empty(), GuestMemory.of([elsewhere])]) {
      const ids = ring.rig.offer(2);
      t.throws(() => ring.queue.setMemory(without), { code: 'RING_OUTSIDE_MEMORY' });
      t.same(ring.popAll(), Array(2).fill([4, 16]), 'the former memory is in use still');
      for (const id of ids) {
        ring.queue.addUsed(id, 0);
      }
      t.equal(ring.rig.driver.takeUsed().length, 2);
      without.release();
    }
    ring.rig.close();
  }
});

onFaces('PK-013: bases with wrap counters, good and bad', (t, face) => {
  for (const base of [0x8000, 0x8006, 0, 6]) {
    const ring = new RawRing(t, face, { packed: true, size: 7, base });
    const ids = ring.rig.offer(2);
    t.same(ring.popAll(), Array(2).fill([4, 16]), `0x${base.toString(16)}`);
    for (const id of ids) {
      ring.queue.addUsed(id, 1);
    }
    t.equal(ring.rig.driver.takeUsed().length, 2);
    t.equal(ring.queue.nextUsed, ring.queue.nextAvail);
    ring.rig.close();
  }
  const ring = new RawRing(t, face, { packed: true, size: 7 });
  ring.queue.ready = false;
  const restored = (nextAvail: number, nextUsed: number) => {
    const state = { ...ring.queue.state(), nextAvail, nextUsed, ready: true };
    const queue = Virtqueue.restore(ring.rig.memory, state);
    const valid = queue.isValid();
    queue.ready = false;
    return valid;
  };
  t.ok(restored(1, 0x8006), 'two chains out, over the end');
  for (const [nextAvail, nextUsed] of [
    [0x8000, 0x8007],
    [0x8007, 0x8000],
    [7, 7],
    [0x8003, 0x8005],
    [5, 0x8003],
    [0xffff, 0xffff],
    [0x10000, 0x8000],
  ] as const) {
    const what = `0x${nextAvail.toString(16)}, 0x${nextUsed.toString(16)}`;
    t.throws(() => restored(nextAvail, nextUsed), { code: 'INVALID_POSITION' }, what);
  }
});
