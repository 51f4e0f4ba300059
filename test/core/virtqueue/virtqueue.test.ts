// Each method of the public queue, on both kinds of ring with one table: what a device sees must
// not tell them apart.

import { ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { InflightArea } from '../../../src/core/memory/inflight-area.js';
import type { DescriptorChain, ObjectLayout } from '../../../src/core/virtqueue/index.js';
import { GuestMemory, Virtqueue } from '../../../src/core/virtqueue/index.js';
import { native } from '../../../src/native/index.js';
import { QueueRig, type QueueRigOptions } from '../../support/queue-rig.js';
import { temporaryDirectory } from '../../support/resources.js';

type Scene = (t: Test, make: (options?: Partial<QueueRigOptions>) => QueueRig) => void;

/** The same test on a split and on a packed ring. */
function onBoth(name: string, scene: Scene): void {
  for (const packed of [false, true]) {
    t.test(`${name}, ${packed ? 'packed' : 'split'}`, async (t) => {
      scene(t, (options = {}) => new QueueRig(t, { packed, ...options }));
    });
  }
}

function ready(rig: QueueRig): Virtqueue {
  rig.queue.ready = true;
  return rig.queue;
}

function pop(queue: Virtqueue): DescriptorChain {
  const chain = queue.popDescriptorChain();
  if (chain === undefined) {
    throw new Error('nothing to pop');
  }
  return chain;
}

interface Request {
  readonly type: number;
  readonly sector: bigint;
}

const REQUEST: ObjectLayout<Request> = {
  bytes: 16,
  decode: (view) => ({ type: view.getUint32(0, true), sector: view.getBigUint64(8, true) }),
  encode: (view, { type, sector }) => {
    view.setUint32(0, type, true);
    view.setBigUint64(8, sector, true);
  },
};

onBoth('a request over several buffers, read and written as objects', (t, make) => {
  const rig = make({ eventIdx: true });
  const queue = ready(rig);
  const header = new Uint8Array(16);
  REQUEST.encode(new DataView(header.buffer), { type: 7, sector: 2n ** 40n });
  for (const indirect of [false, true]) {
    const answer = [rig.writable(10), rig.writable(23)] as const;
    const id = rig.driver.add(
      [rig.readable(header.subarray(0, 5)), rig.readable(header.subarray(5)), ...answer],
      { indirect },
    );
    t.equal(queue.popDescriptorChain(), undefined, 'not shown yet');
    rig.driver.publish();
    const chain = pop(queue);
    t.match(chain, { head: id, queue: 0, readableBytes: 16, writableBytes: 33 });
    t.same(chain.reader.object(REQUEST), { type: 7, sector: 2n ** 40n });
    t.throws(() => chain.reader.object(REQUEST), { code: 'SHORT_READABLE' });
    const status = chain.writer.splitAt(chain.writer.available - 1);
    chain.writer.object(REQUEST, { type: 9, sector: 3n });
    chain.writer.object(REQUEST, { type: 10, sector: 4n });
    t.throws(() => chain.writer.object(REQUEST, { type: 0, sector: 0n }), {
      code: 'SHORT_WRITABLE',
    });
    status.u8(0xaa);
    t.equal(chain.usedBytes, 33, 'each byte once');
    chain.complete();
    t.throws(() => chain.complete(), { code: 'COMPLETED' });
    t.same(rig.driver.takeUsed(), [{ id, length: 33 }]);
    const written = new Uint8Array([...rig.bytesOf(answer[0]), ...rig.bytesOf(answer[1])]);
    const view = new DataView(written.buffer);
    t.same([view.getUint32(0, true), view.getUint32(16, true), written[32]], [9, 10, 0xaa]);
  }
});

onBoth('configuration: refused while ready, and what it takes to be valid', (t, make) => {
  const rig = make({ size: 16 });
  const { queue } = rig;
  t.match(queue, { maxSize: 16, size: 16, ready: false, eventIdx: false });
  t.equal(queue.isValid(), false, 'not ready');
  for (const ask of [
    () => queue.popDescriptorChain(),
    () => queue.popBatch(),
    () => queue.addUsed(0, 0),
    () => queue.availIdx(),
    () => queue.usedIdx(),
    () => queue.needsNotification(),
    () => queue.enableNotification(),
    () => queue.disableNotification(),
    () => queue.goToPreviousPosition(),
    () => [...queue],
    () => queue.inFlightCount,
  ]) {
    t.throws(ask, { code: 'NOT_READY' }, String(ask));
  }
  ready(rig);
  t.equal(queue.isValid(), true);
  queue.ready = true;
  for (const set of [
    () => (queue.size = 8),
    () => (queue.descTable = 0n),
    () => (queue.availRing = 0n),
    () => (queue.usedRing = 0n),
    () => (queue.eventIdx = true),
  ]) {
    t.throws(set, { code: 'READY' }, String(set));
  }
  t.throws(() => (queue.nextAvail = 1 << 16), { code: 'INVALID_POSITION' });
  queue.ready = false;
  for (const part of ['descTable', 'availRing', 'usedRing'] as const) {
    const good = queue[part];
    queue[part] = 16n;
    t.throws(() => (queue.ready = true), { code: 'RING_OUTSIDE_MEMORY' }, part);
    t.equal(queue.ready, false);
    queue[part] = good;
  }
  rig.offer();
  ready(rig);
  pop(queue);
  queue.reset();
  t.match(queue, { size: 16, ready: false, descTable: 0n, availRing: 0n, usedRing: 0n });
  t.same([queue.nextAvail, queue.nextUsed], queue.packed ? [0x8000, 0x8000] : [0, 0]);
});

onBoth('positions: what was popped, given back, offered', (t, make) => {
  const rig = make({ size: 8 });
  const queue = ready(rig);
  const at = (chains: number) => (queue.packed ? 0x8000 + 2 * chains : chains);
  rig.offer(3);
  t.same([queue.availIdx(), queue.usedIdx()], [at(3), at(0)]);
  const [first, second] = [pop(queue), pop(queue)];
  t.same([queue.nextAvail, queue.nextUsed, queue.inFlightCount], [at(2), at(0), 2]);
  second.complete();
  first.complete();
  t.same([queue.nextAvail, queue.nextUsed, queue.usedIdx()], [at(2), at(2), at(2)]);
  t.equal(queue.inFlightCount, 0);
  queue.nextUsed = at(1);
  queue.nextAvail = at(1);
  t.same([queue.nextAvail, queue.nextUsed], [at(1), at(1)]);
  if (!queue.packed) {
    t.equal(pop(queue).head, second.head, 'as the avail ring has it still');
    t.throws(() => (queue.nextAvail = 0), { code: 'IN_FLIGHT' });
    t.throws(() => (queue.nextUsed = 0), { code: 'IN_FLIGHT' });
  } else {
    t.throws(() => (queue.nextAvail = 0x8008), { code: 'INVALID_POSITION' }, 'outside the ring');
  }
});

onBoth('iteration takes what is there when it begins', (t, make) => {
  const rig = make({ size: 16 });
  const queue = ready(rig);
  const ids = rig.offer(3);
  const seen: number[] = [];
  for (const chain of queue) {
    seen.push(chain.head);
    rig.offer();
    chain.complete();
  }
  t.same(seen, ids);
  const rest = [...queue.chains()];
  t.equal(rest.length, 3, 'those that came meanwhile');
  for (const chain of rest) {
    chain.complete();
  }
  t.equal(rig.driver.takeUsed().length, 6);
  t.same([...queue], []);
});

onBoth('back to the previous position', (t, make) => {
  const rig = make({ size: 16 });
  const queue = ready(rig);
  const ids = rig.offer(4);
  t.throws(() => queue.goToPreviousPosition(), { code: 'NOT_IN_FLIGHT' }, 'nothing popped');
  pop(queue);
  const start = queue.nextAvail;
  pop(queue);
  pop(queue);
  queue.goToPreviousPosition();
  queue.goToPreviousPosition();
  t.equal(queue.nextAvail, start);
  t.same(
    [...queue].map(({ head }) => head),
    ids.slice(1),
    'popped again, in order',
  );
  queue.addUsed(ids[2] as number, 0);
  queue.goToPreviousPosition();
  t.throws(() => queue.goToPreviousPosition(), { code: 'NOT_IN_FLIGHT' }, 'the one before is used');
  t.equal(queue.inFlightCount, 2, 'the first two are out still');
  t.equal(pop(queue).head, ids[3]);
});

onBoth('batches: headers in advance, used elements shown at once', (t, make) => {
  const rig = make({ size: 64, headerBytes: 4 });
  const queue = ready(rig);
  const ids = rig.offer(20);
  const batch = queue.popBatch(8);
  t.equal(batch.count, 8);
  for (let i = 0; i < batch.count; i++) {
    t.equal(batch.chain(i), ids[i]);
    t.equal(batch.headerWord(i, 0), 0x03020100 + i);
    t.equal(batch.headerWord(i, 1), 0, 'no more than asked for');
    t.same([batch.readableBytes(i), batch.writableBytes(i)], [4, 16]);
  }
  const chain = queue.chainOf(batch, 3);
  t.same([...chain.reader.bytes(4)], [3, 1, 2, 3]);
  chain.writer.u32(0x11223344);
  for (let i = 0; i < batch.count; i++) {
    queue.pushUsed(batch.chain(i), i);
  }
  t.notOk(rig.driver.hasUsed, 'not before it is published');
  queue.publishUsed();
  t.same(
    rig.driver.takeUsed(),
    ids.slice(0, 8).map((id, i) => ({ id, length: i })),
  );
  t.equal(queue.popBatch().count, 12, 'the rest');
  queue.pushUsed(ids[8] as number, 1);
  queue.pushUsed(ids[0] as number, 2);
  queue.pushUsed(ids[9] as number, 3);
  t.throws(() => queue.publishUsed(), { code: 'NOT_IN_FLIGHT', message: /head/ });
  t.equal(rig.driver.takeUsed().length, 1, 'what came before it went');
  queue.publishUsed();
  t.throws(() => queue.addUsed(0xffff_ffff, 0), { code: 'NOT_IN_FLIGHT' });
  t.throws(() => queue.addUsed(ids[8] as number, 0), { code: 'NOT_IN_FLIGHT' }, 'twice');
});

onBoth('more used elements than the table holds', (t, make) => {
  const rig = make({ size: 1024, memoryBytes: 1 << 22 });
  const queue = ready(rig);
  rig.offer(300);
  for (const count of [256, 44]) {
    const batch = queue.popBatch();
    t.equal(batch.count, count);
    for (let i = 0; i < count; i++) {
      queue.pushUsed(batch.chain(i), 1);
    }
  }
  t.equal(rig.driver.takeUsed().length, 256, 'the full table went by itself');
  queue.publishUsed();
  t.equal(rig.driver.takeUsed().length, 44);
});

onBoth('notifications', (t, make) => {
  for (const eventIdx of [false, true]) {
    const rig = make({ eventIdx });
    const queue = ready(rig);
    t.equal(queue.enableNotification(), false);
    rig.driver.add([rig.writable(1)]);
    t.equal(rig.driver.publish(), true, 'a kick is wanted');
    t.equal(queue.enableNotification(), true, 'one came meanwhile');
    queue.disableNotification();
    rig.driver.add([rig.writable(1)]);
    t.equal(rig.driver.publish(), false, 'no kick is wanted');
    pop(queue).complete();
    t.equal(queue.needsNotification(), true);
    if (eventIdx) {
      t.equal(queue.needsNotification(), false, 'answered already');
      pop(queue).complete();
      t.equal(queue.needsNotification(), false, 'the driver has not asked again');
      rig.driver.takeUsed();
      rig.offer();
      pop(queue).complete();
      t.equal(queue.needsNotification(), true, 'now it has');
    }
  }
});

onBoth('state goes through a structured clone', (t, make) => {
  const rig = make({ size: 8, eventIdx: true });
  const queue = ready(rig);
  rig.offer(3);
  for (const chain of queue) {
    chain.complete();
  }
  const [id] = rig.offer(1);
  const state = structuredClone(queue.state());
  queue.ready = false;
  t.match(queue.state(), { ...state, ready: false }, 'the same, at rest');
  const next = Virtqueue.restore(rig.memory, state);
  t.same(next.state(), state);
  t.equal(pop(next).head, id);
  next.addUsed(id as number, 0);
  t.equal(rig.driver.takeUsed().length, 4);
  next.ready = false;
  t.throws(() => Virtqueue.restore(rig.memory, { ...state, size: 99 }), { code: 'INVALID_SIZE' });
  t.throws(() => Virtqueue.restore(rig.memory, { ...state, usedRing: 2n }), {
    code: 'INVALID_USED_RING_ALIGN',
  });
});

onBoth('chains of a queue that was stopped are void', (t, make) => {
  const rig = make();
  const queue = ready(rig);
  const [id] = rig.offer();
  const old = pop(queue);
  const start = queue.state();
  queue.ready = false;
  queue.nextAvail = queue.nextUsed = start.nextUsed;
  queue.ready = true;
  t.equal(pop(queue).head, id);
  t.throws(() => old.reader.u8(), { code: 'NOT_IN_FLIGHT' }, 'though its head is in flight again');
  t.throws(() => old.writer.u8(1), { code: 'NOT_IN_FLIGHT' });
  t.throws(() => old.complete(), { code: 'NOT_IN_FLIGHT' });
  t.equal(queue.inFlightCount, 1);
  queue.addUsed(id as number, 0);
  t.same(rig.driver.takeUsed(), [{ id, length: 0 }]);
});

onBoth('another memory', (t, make) => {
  const rig = make();
  const queue = ready(rig);
  const extra = { guestAddress: 0n, userAddress: 0n, sizeBytes: 4096n, mmapOffsetBytes: 0n };
  const larger = rig.memory.with(rig.shared.fd, extra);
  const none = GuestMemory.empty();
  t.teardown(() => {
    larger.release();
    none.release();
  });
  rig.offer(2);
  const chain = pop(queue);
  t.throws(() => queue.setMemory(larger), { code: 'IN_FLIGHT' });
  chain.complete();
  t.throws(() => queue.setMemory(none), { code: 'RING_OUTSIDE_MEMORY' });
  t.equal(queue.isValid(), true, 'the former one is in use still');
  queue.setMemory(larger);
  pop(queue).complete();
  t.equal(rig.driver.takeUsed().length, 2);
});

onBoth('IN_ORDER: what ends early waits', (t, make) => {
  const rig = make({ inOrder: true, size: 16 });
  const queue = ready(rig);
  const ids = rig.offer(4);
  const chains = [...queue];
  chains[2]?.complete();
  chains[1]?.complete();
  t.same(rig.driver.takeUsed(), []);
  t.equal(queue.inFlightCount, 4);
  t.throws(() => queue.addUsed(ids[2] as number, 0), { code: 'NOT_IN_FLIGHT' }, 'ended already');
  chains[0]?.complete();
  const taken = (count: number) => ids.slice(0, count).map((id) => ({ id, length: 0 }));
  t.same(rig.driver.takeUsed(), taken(3));
  queue.goToPreviousPosition();
  pop(queue).complete();
  t.same(rig.driver.takeUsed(), [{ id: ids[3], length: 0 }]);
});

onBoth('a fault ends the queue and says what it was; a new start does not know it', (t, make) => {
  const rig = make({ size: 8 });
  const queue = ready(rig);
  rig.offer();
  rig.driver.add([{ offset: -4096, bytes: 16, writable: false }]);
  rig.driver.publish();
  const good = pop(queue);
  for (let i = 0; i < 2; i++) {
    t.throws(() => queue.popDescriptorChain(), { code: 'GUEST_MEMORY', stopsQueue: true });
    t.throws(() => queue.popBatch(), { code: 'GUEST_MEMORY' });
    t.throws(() => [...queue], { code: 'GUEST_MEMORY' });
  }
  t.equal(queue.isValid(), false);
  t.throws(() => good.complete(), { code: 'GUEST_MEMORY' });
  t.throws(() => queue.goToPreviousPosition(), { code: 'NOT_IN_FLIGHT' });
  queue.ready = false;
  queue.ready = true;
  t.equal(queue.isValid(), true);
});

onBoth('memory taken away (CS-077)', (t, make) => {
  const fd = openSync(join(temporaryDirectory(t), 'memory'), 'w+');
  ftruncateSync(fd, 1 << 20);
  const rig = make({ size: 8, fd });
  const queue = ready(rig);
  rig.offer(2);
  const chain = pop(queue);
  ftruncateSync(fd, 0);
  t.throws(() => queue.popDescriptorChain(), { code: 'GUEST_MEMORY' });
  t.throws(() => chain.complete(), { code: 'GUEST_MEMORY' });
  t.equal(queue.isValid(), false);
});

onBoth('an inflight area: what a former owner left is popped first', (t, make) => {
  const probe = make();
  const file = InflightArea.create(probe.queue.packed, 1, 16);
  const area = InflightArea.map(file.fd, {
    mmapSizeBytes: BigInt(file.sizeBytes),
    mmapOffsetBytes: 0n,
    queueCount: 1,
    queueSize: 16,
  });
  t.teardown(() => {
    area.release();
    native.fdClose(file.fd);
  });
  const rig = make({ size: 16, inflight: area });
  const queue = ready(rig);
  const ids = rig.offer(4);
  const [first, second] = [pop(queue), pop(queue)];
  t.ok(first && second);
  t.throws(() => queue.goToPreviousPosition(), { code: 'NOT_IN_FLIGHT' }, 'it is recorded');
  second.complete();
  const state = queue.state();
  queue.ready = false;
  const next = Virtqueue.restore(rig.memory, state, { inflight: area, addresses: 'guest' });
  t.same(
    [...next].map(({ head }) => head),
    [ids[0], ids[2], ids[3]],
  );
  next.ready = false;
});

t.test('rings at the addresses of the front-end', async (t) => {
  const rig = new QueueRig(t, { packed: false, addresses: 'user' });
  const queue = ready(rig);
  const [id] = rig.offer();
  t.equal(pop(queue).head, id);
  t.throws(() => new Virtqueue({ memory: rig.memory, maxSize: 3 }), { code: 'INVALID_MAX_SIZE' });
  t.ok(new Virtqueue({ memory: rig.memory, maxSize: 3, packed: true }));
});

t.test('what native code must refuse (LF-015)', async (t) => {
  const ring = new native.OwnedQueue(new Uint32Array(16), new Uint32Array(2));
  t.throws(() => ring.pop(1), TypeError, 'not started');
  t.equal(ring.copyOut(0, 0, new Uint8Array(1), 0, 1), -22);
  t.throws(() => ring.start(0, 8, 0n, 0n, 0n, 0, 0, 0, 0, 0, 0), TypeError, 'no such memory');
  ring.close();
  ring.close();
});
