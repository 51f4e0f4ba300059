import t from 'tap';
import { errnoName } from '../../../src/native/index.js';
import { COMPLETE, HOLD, THROW } from '../../fixtures/scripted-handler.js';
import { openDescriptors, until } from '../../support/resources.js';
import { scriptedDataHalf, scriptedPool } from '../../support/scripted-pool.js';
import { TinyRing } from '../../support/tiny-ring.js';

const request = (what: number) => Uint8Array.of(what, 0, 0, 0);

t.test('each queue has one owner, and every worker is asked', async (t) => {
  const counters = new SharedArrayBuffer(16);
  const dataHalf = scriptedDataHalf({ counters });
  const { pool, events } = scriptedPool(t, { queuesPerThread: [0b101n, 0b010n], dataHalf });
  t.equal(await pool.ready(), 'threads');
  const rings = [new TinyRing(), new TinyRing(), new TinyRing(), new TinyRing()];
  const memories = rings.map((ring) => ring.memory());
  for (const [queue, ring] of rings.entries()) {
    const memory = memories[queue];
    t.ok(memory);
    if (memory !== undefined) {
      t.equal(await pool.startVring(ring.start(queue, memory)), 0, `vring ${queue}`);
    }
    ring.add(request(COMPLETE));
  }
  await until('all served', () => rings.every((ring) => ring.usedIndex === 1));
  await pool.tellHandlers('hello');
  t.same([...new Int32Array(counters)], [4, 0, 2, 0], 'two workers took the message');
  for (const queue of rings.keys()) {
    t.equal(await pool.stopVring(queue), 1, 'queue 3 is in no mask: worker 0 has it');
  }
  t.equal(errnoName(-(await pool.stopVring(1))), 'ENOENT');
  t.same(events, []);
  memories.map((memory) => memory.release());
  rings.map((ring) => ring.close());
});

t.test('answers come back to whoever asked, in any order', async (t) => {
  const counters = new SharedArrayBuffer(16);
  const { pool } = scriptedPool(t, { dataHalf: scriptedDataHalf({ counters }) });
  const ring = new TinyRing();
  const memory = ring.memory();
  t.equal(await pool.startVring(ring.start(0, memory)), 0);
  ring.add(request(HOLD));
  await until('in flight', () => new Int32Array(counters)[0] === 1);
  const order: string[] = [];
  const stopped = pool.stopVring(0).then((base) => order.push(`stopped ${base}`));
  await Promise.all([
    pool.enableVring(0, true).then((result) => order.push(`enabled ${result}`)),
    pool.setCall(0, -1).then((result) => order.push(`call ${result}`)),
    pool.setErr(0, -1).then((result) => order.push(`err ${result}`)),
  ]);
  await pool.tellHandlers('release');
  await stopped;
  t.same(order.slice(0, 3).sort(), ['call 0', 'enabled 0', 'err 0']);
  // The worker sleeps when the last request goes, and must wake for it.
  t.equal(order[3], 'stopped 1');
  memory.release();
  ring.close();
});

t.test('faults are told, with the queue', async (t) => {
  const { pool, events } = scriptedPool(t, { queuesPerThread: [0b11n] });
  const rings = [new TinyRing(), new TinyRing()] as const;
  const memories = rings.map((ring) => ring.memory());
  for (const [queue, ring] of rings.entries()) {
    await pool.startVring(ring.start(queue, memories[queue] as (typeof memories)[0]));
  }
  rings[1].offer(99);
  await until('one broken', () => events.length === 1);
  rings[0].add(request(THROW), 1);
  await until('handler failed', () => events.length === 3);
  t.same(events, ['queueBroken 1 2', 'handlerFailed Error: the handler broke', 'queueBroken 0 14']);
  t.ok((await pool.stopVring(0)) >= 0, 'a failed handler holds up no stop');
  await pool.stopVring(1);
  memories.map((memory) => memory.release());
  rings.map((ring) => ring.close());
});

t.test('a worker that can not start fails the pool', async (t) => {
  const rows = [
    ['a factory that throws', scriptedDataHalf({ failCreate: true }), /no such device/],
    ['no such module', { moduleUrl: 'file:///nowhere/handler.js', options: {} }, /nowhere/],
  ] as const;
  for (const [what, dataHalf, message] of rows) {
    const { pool, events } = scriptedPool(t, { dataHalf });
    await t.rejects(pool.ready(), { message }, what);
    await until('told', () => events.length > 0);
    t.match(events[0], message, what);
    const answers = await Promise.all([pool.stopVring(0), pool.changeMemory(0)]);
    t.equal(errnoName(-answers[0]), 'EIO', 'who asks a worker that is gone is answered');
    await pool.close();
  }
});

t.test('close ends threads and descriptors', async (t) => {
  const first = scriptedPool(t, { queuesPerThread: [1n, 2n] });
  await first.pool.ready();
  await first.close();
  const before = openDescriptors();
  const dataHalf = scriptedDataHalf();
  const second = scriptedPool(t, { dataHalf, engine: 'io_uring' });
  t.match(await second.pool.ready(), /^(io_uring|threads)$/);
  await second.close();
  t.same(second.events, []);
  await until('descriptors closed', () => openDescriptors() <= before);
});
