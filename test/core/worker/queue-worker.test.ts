import t, { type Test } from 'tap';
import type { HandlerContext, HandlerFactory, QueueHandler } from '../../../src/core/device.js';
import type {
  IoEngineName,
  NumberedCommand,
  WorkerCommand,
  WorkerReport,
} from '../../../src/core/worker/commands.js';
import { QueueWorker } from '../../../src/core/worker/queue-worker.js';
import { ALL_QUEUES } from '../../../src/core/worker/worker-pool.js';
import { errnoName, native } from '../../../src/native/index.js';
import {
  COMPLETE,
  FAIL_OPERATION,
  HOLD,
  handlerFactory,
  type ScriptedOptions,
  THROW,
  THROW_LATER,
  USED_COMPLETE,
  USED_FAILED,
  USED_RELEASED,
} from '../../fixtures/scripted-handler.js';
import { eventfd, openDescriptors } from '../../support/resources.js';
import { GUEST_BASE, TinyRing } from '../../support/tiny-ring.js';

const ENGINES: readonly IoEngineName[] = ['threads', 'io_uring'];
/** More than any step needs; a turn that does not block is some microseconds. */
const TURNS_MAX = 20_000;

/** A worker on this thread: the test sends commands and turns it by hand. */
class Rig {
  readonly reports: WorkerReport[] = [];
  readonly counters = new SharedArrayBuffer(16);
  readonly callsReported = new SharedArrayBuffer(1024);
  readonly worker: QueueWorker;
  readonly #inbox: NumberedCommand[] = [];
  readonly #wakeFd = eventfd();
  #nextId = 1;
  #ended = false;

  constructor(
    engine: IoEngineName = 'threads',
    factory: HandlerFactory = handlerFactory,
    options: ScriptedOptions = {},
  ) {
    this.worker = new QueueWorker({
      factory,
      handlerOptions: { counters: this.counters, ...options },
      engine,
      wakeFd: this.#wakeFd,
      pollUs: 0,
      callsReported: this.callsReported,
      nextCommand: () => this.#inbox.shift(),
      report: (report) => this.reports.push(report),
    });
  }

  send(command: WorkerCommand): number {
    const id = this.#nextId++;
    this.#inbox.push({ id, command });
    native.eventfdSignal(this.#wakeFd);
    return id;
  }

  /** Turns until the command is answered. */
  ask(command: WorkerCommand): number {
    const id = this.send(command);
    this.turnUntil(() => this.answer(id) !== undefined, command.kind);
    return this.answer(id) as number;
  }

  answer(id: number): number | undefined {
    for (const report of this.reports) {
      if (report.kind === 'answer' && report.id === id) {
        return report.result;
      }
    }
    return undefined;
  }

  turnUntil(condition: () => boolean, what: string): void {
    for (let turns = 0; !condition(); turns++) {
      if (turns === TURNS_MAX) {
        throw new Error(`waited in vain: ${what}`);
      }
      this.worker.turn(false);
    }
  }

  turns(count: number): void {
    for (let i = 0; i < count; i++) {
      this.worker.turn(false);
    }
  }

  /** Reports other than answers and ready. */
  events(): WorkerReport[] {
    return this.reports.filter(({ kind }) => kind !== 'answer' && kind !== 'ready');
  }

  get counts(): number[] {
    return [...new Int32Array(this.counters)];
  }

  /** The loop of a real worker, to its end. */
  stop(): void {
    if (!this.#ended) {
      this.#ended = true;
      this.send({ kind: 'stop' });
      this.worker.run();
      native.fdClose(this.#wakeFd);
    }
  }
}

function openRig(t: Test, ...args: ConstructorParameters<typeof Rig>) {
  const rig = new Rig(...args);
  const ring = new TinyRing();
  const memory = ring.memory();
  t.teardown(() => {
    rig.stop();
    memory.release();
    ring.close();
  });
  return { rig, ring, memory };
}

const request = (what: number) => Uint8Array.of(what, 0, 0, 0);

for (const engine of ENGINES) {
  t.test(`${engine}: start, serve, stop`, async (t) => {
    const { rig, ring, memory } = openRig(t, engine);
    t.match(rig.reports, [{ kind: 'ready' }]);
    t.equal(rig.ask({ kind: 'startVring', start: ring.start(0, memory) }), 0);
    const heads = [ring.add(request(COMPLETE), 1), ring.add(request(FAIL_OPERATION), 1)];
    rig.turnUntil(() => ring.usedIndex === 2, 'two used');
    t.same(
      ring.used().sort((a, b) => a.head - b.head),
      [
        { head: heads[0], bytes: USED_COMPLETE },
        { head: heads[1], bytes: USED_FAILED },
      ],
    );
    t.ok(native.eventfdRead(ring.callFd) > 0, 'the driver was called');
    t.equal(rig.ask({ kind: 'stopVring', queue: 0 }), 2, 'the next avail index');
    ring.add(request(COMPLETE));
    rig.turns(50);
    t.equal(ring.usedIndex, 2, 'a stopped vring serves nothing');
    t.equal(rig.ask({ kind: 'startVring', start: ring.start(0, memory, { availBase: 2 }) }), 0);
    rig.turnUntil(() => ring.usedIndex === 3, 'goes on at the base');
    t.equal(rig.ask({ kind: 'stopVring', queue: 0 }), 3);
    t.same(rig.events(), []);
  });
}

t.test('stopping waits for what is in flight', async (t) => {
  const { rig, ring, memory } = openRig(t);
  rig.ask({ kind: 'startVring', start: ring.start(0, memory) });
  ring.add(request(HOLD));
  rig.turnUntil(() => rig.worker.inFlight(0) === 1, 'in flight');
  const id = rig.send({ kind: 'stopVring', queue: 0 });
  const again = rig.send({ kind: 'stopVring', queue: 0 });
  rig.turns(50);
  t.equal(rig.answer(id), undefined);
  ring.add(request(COMPLETE));
  rig.turns(50);
  t.equal(ring.usedIndex, 0, 'a draining vring takes nothing more');
  rig.ask({ kind: 'deviceMessage', message: 'release', queues: ALL_QUEUES });
  rig.turnUntil(() => rig.answer(id) !== undefined, 'stopped');
  t.equal(rig.answer(id), 1);
  t.equal(rig.answer(again), 1, 'whoever asked is answered');
  t.same(ring.used(), [{ head: 0, bytes: USED_RELEASED }]);
  t.equal(errnoName(-rig.ask({ kind: 'stopVring', queue: 0 })), 'ENOENT', 'there is none');
});

t.test('VIRTIO_F_IN_ORDER: what ends early is shown in its turn', async (t) => {
  const { rig, ring, memory } = openRig(t);
  rig.ask({ kind: 'startVring', start: ring.start(0, memory, { inOrder: true }) });
  const heads = [ring.add(request(HOLD)), ring.add(request(COMPLETE)), ring.add(request(COMPLETE))];
  rig.turns(50);
  t.equal(ring.usedIndex, 0);
  t.equal(rig.worker.inFlight(0), 3, 'a stop waits for those that wait');
  rig.ask({ kind: 'deviceMessage', message: 'release', queues: ALL_QUEUES });
  rig.turnUntil(() => ring.usedIndex === 3, 'all of them');
  t.same(
    ring.used().map(({ head }) => head),
    heads,
  );
});

t.test('what can not start answers why, and keeps no descriptor', async (t) => {
  const { rig, ring, memory } = openRig(t);
  const rows = [
    ['EINVAL', { size: 7 }],
    ['EINVAL', { size: 0 }],
    ['EINVAL', { size: 65536 }],
    ['EINVAL', { descriptorAddress: ring.addresses.descriptorAddress + 8n }],
    ['EFAULT', { usedAddress: 0n }],
    ['EFAULT', { availableAddress: ring.addresses.descriptorAddress + 65534n }],
  ] as const;
  for (const [code, values] of rows) {
    const before = openDescriptors();
    const start = ring.start(0, memory, values);
    t.equal(errnoName(-rig.ask({ kind: 'startVring', start })), code);
    t.equal(openDescriptors(), before);
  }
  t.equal(rig.ask({ kind: 'startVring', start: ring.start(0, memory) }), 0);
  const twice = { kind: 'startVring', start: ring.start(0, memory) } as const;
  t.equal(errnoName(-rig.ask(twice)), 'EINVAL', 'started twice');
});

t.test('enable, call and err may change while the vring runs', async (t) => {
  const { rig, ring, memory } = openRig(t);
  rig.ask({ kind: 'startVring', start: ring.start(0, memory, { enabled: false }) });
  ring.add(request(COMPLETE));
  rig.turns(50);
  t.equal(ring.usedIndex, 0, 'disabled');
  rig.ask({ kind: 'enableVring', queue: 0, enabled: true });
  rig.turnUntil(() => ring.usedIndex === 1, 'enabled');
  t.equal(native.eventfdRead(ring.callFd), 1);

  const [call, err] = [eventfd(), eventfd()];
  rig.ask({ kind: 'setCall', queue: 0, fd: native.fdDuplicate(call) });
  rig.ask({ kind: 'setErr', queue: 0, fd: native.fdDuplicate(err) });
  ring.add(request(COMPLETE));
  rig.turnUntil(() => ring.usedIndex === 2, 'served');
  t.same([call, ring.callFd].map(native.eventfdRead), [1, 0]);
  ring.offer(ring.size);
  rig.turnUntil(() => rig.events().length === 1, 'broken');
  t.same([err, ring.errFd].map(native.eventfdRead), [1, 0]);
  t.same(rig.events(), [{ kind: 'queueBroken', queue: 0, fault: 2 }]);
  rig.ask({ kind: 'setCall', queue: 0, fd: -1 });
  native.fdClose(call);
  native.fdClose(err);
});

t.test('a broken ring stops alone and heals by a new start', async (t) => {
  const { rig, ring, memory } = openRig(t);
  const other = new TinyRing();
  const otherMemory = other.memory();
  rig.ask({ kind: 'startVring', start: ring.start(0, memory) });
  rig.ask({ kind: 'startVring', start: other.start(3, otherMemory) });
  const rows = [
    ['head index', 2, () => ring.offer(ring.size)],
    ['avail index', 1, () => ring.setAvailIndex(ring.size + 1)],
    [
      'loop',
      5,
      () => {
        ring.descriptor(0, GUEST_BASE, 16, 1, 0);
        ring.offer(0);
      },
    ],
    [
      'outside memory',
      6,
      () => {
        ring.descriptor(0, 0n, 16, 0, 0);
        ring.offer(0);
      },
    ],
  ] as const;
  for (const [what, fault, harm] of rows) {
    const seen = rig.events().length;
    harm();
    native.eventfdSignal(ring.kickFd);
    rig.turnUntil(() => rig.events().length > seen, what);
    t.same(rig.events().slice(seen), [{ kind: 'queueBroken', queue: 0, fault }], what);
    const served = other.usedIndex;
    other.add(request(COMPLETE));
    rig.turnUntil(() => other.usedIndex > served, 'the other ring goes on');
    rig.ask({ kind: 'stopVring', queue: 0 });
    ring.setAvailIndex(0);
    rig.ask({ kind: 'startVring', start: ring.start(0, memory) });
  }
  rig.ask({ kind: 'stopVring', queue: 3 });
  otherMemory.release();
  other.close();
});

t.test('a kick descriptor that hangs up is told once', async (t) => {
  const { rig, ring, memory } = openRig(t);
  const ends = new Int32Array(2);
  native.socketPair(ends);
  const [peer = -1, kickFd = -1] = ends;
  rig.ask({ kind: 'startVring', start: ring.start(5, memory, { kickFd }) });
  native.fdClose(peer);
  rig.turnUntil(() => rig.events().length > 0, 'kick lost');
  rig.turns(50);
  t.same(rig.events(), [{ kind: 'kickLost', queue: 5 }]);
});

t.test('memory changes under a ring that runs', async (t) => {
  const { rig, ring, memory } = openRig(t);
  rig.ask({ kind: 'startVring', start: ring.start(0, memory) });
  ring.add(request(HOLD));
  rig.turnUntil(() => rig.worker.inFlight(0) === 1, 'in flight');
  const same = ring.memory();
  const id = rig.send({ kind: 'changeMemory', memory: same.id, queues: ALL_QUEUES });
  rig.turns(50);
  ring.add(request(COMPLETE));
  rig.turns(50);
  t.equal(rig.answer(id), undefined, 'waits for what is in flight');
  t.equal(ring.usedIndex, 0, 'and takes nothing meanwhile');
  rig.ask({ kind: 'deviceMessage', message: 'release', queues: ALL_QUEUES });
  rig.turnUntil(() => ring.usedIndex === 2, 'goes on');
  t.equal(rig.answer(id), 0);
  t.same(rig.events(), []);

  const elsewhere = new TinyRing();
  const far = elsewhere.memory().without(elsewhere.region);
  t.equal(rig.ask({ kind: 'changeMemory', memory: far.id, queues: ALL_QUEUES }), 0);
  rig.turnUntil(() => rig.events().length > 0, 'given up');
  t.same(rig.events(), [{ kind: 'queueBroken', queue: 0, fault: 13 }]);
  same.release();
  far.release();
  elsewhere.close();
});

t.test('LF-012: a handler that throws stops its queues, not the worker', async (t) => {
  for (const [what, error] of [
    [THROW, /the handler broke\n/],
    [THROW_LATER, /the handler broke later\n/],
  ] as const) {
    const { rig, ring, memory } = openRig(t);
    rig.ask({ kind: 'startVring', start: ring.start(0, memory) });
    ring.add(request(what), 1);
    rig.turnUntil(() => rig.events().length === 2, 'told');
    t.match(rig.events(), [
      { kind: 'handlerFailed', error },
      { kind: 'queueBroken', queue: 0, fault: 14 },
    ]);
    t.equal(native.eventfdRead(ring.errFd), 1);
    const { counts } = rig;
    ring.add(request(COMPLETE));
    rig.turns(50);
    t.same(rig.counts, counts, 'nothing more reaches it');
    t.equal(ring.usedIndex, 0, 'the driver sees no promise');
    t.equal(
      rig.ask({ kind: 'deviceMessage', message: 'x', queues: ALL_QUEUES }),
      0,
      'the worker answers',
    );
    t.ok(rig.ask({ kind: 'stopVring', queue: 0 }) >= 0, 'chains it kept hold up no stop');
  }
});

t.test('LF-012: messages are device code too', async (t) => {
  const { rig, ring, memory } = openRig(t);
  rig.ask({ kind: 'startVring', start: ring.start(0, memory) });
  t.equal(rig.ask({ kind: 'deviceMessage', message: 'throw', queues: ALL_QUEUES }), 0);
  t.match(rig.events(), [{ kind: 'handlerFailed', error: /broke on a message/ }]);
  const { counts } = rig;
  t.equal(rig.ask({ kind: 'deviceMessage', message: 'x', queues: ALL_QUEUES }), 0);
  t.same(rig.counts, counts, 'nothing more reaches it');
});

/** A handler that keeps what it gets and writes down what it is told. */
function watching(told: string[], contexts: HandlerContext[]): HandlerFactory {
  const kept: number[] = [];
  const create = (context: HandlerContext): QueueHandler => {
    contexts.push(context);
    return {
      requests: (batch) => kept.push(batch.chain(0)),
      completion: () => {},
      event: (token, hungUp) => {
        told.push(`event ${token} ${hungUp}`);
        if (token === 13) {
          throw new Error('broke on an event');
        }
      },
      drain: (queue) => {
        told.push(`drain ${queue}`);
        for (const chain of kept.splice(0)) {
          context.commands.complete(chain, 0);
        }
      },
      memoryUpdated: () => told.push('memory'),
    };
  };
  return { headerBytes: 0, create };
}

for (const engine of ENGINES) {
  t.test(`${engine}: descriptors of the handler's own`, async (t) => {
    const told: string[] = [];
    const contexts: HandlerContext[] = [];
    const { rig } = openRig(t, engine, watching(told, contexts));
    const context = contexts[0] as HandlerContext;
    const [first, second] = [eventfd(), eventfd()];
    const ends = new Int32Array(2);
    native.socketPair(ends);
    const [near = -1, far = -1] = ends;
    context.watch(first, 1);
    context.watch(second, 2);
    context.watch(near, 3);
    t.throws(() => context.watch(first, 1), { code: 'EEXIST' });
    native.eventfdSignal(first);
    rig.turnUntil(() => told.length === 1, 'first');
    native.eventfdSignal(second);
    rig.turnUntil(() => told.length === 2, 'second');
    native.fdClose(far);
    rig.turnUntil(() => told.length === 3, 'hang-up');
    context.unwatch(1);
    context.unwatch(99);
    native.eventfdSignal(first);
    rig.turns(50);
    t.same(told, ['event 1 false', 'event 2 false', 'event 3 true']);
    context.watch(near, 13);
    rig.turnUntil(() => rig.events().length > 0, 'told');
    t.match(rig.events(), [{ kind: 'handlerFailed', error: /broke on an event/ }]);
    for (const fd of [first, second, near]) {
      native.fdClose(fd);
    }
  });
}

t.test('kept chains are asked for when a ring stops or memory changes', async (t) => {
  const told: string[] = [];
  const { rig, ring, memory } = openRig(t, 'threads', watching(told, []));
  rig.ask({ kind: 'startVring', start: ring.start(0, memory) });
  ring.add(4);
  rig.turnUntil(() => rig.worker.inFlight(0) === 1, 'kept');
  const same = ring.memory();
  t.equal(rig.ask({ kind: 'changeMemory', memory: same.id, queues: ALL_QUEUES }), 0);
  t.same(told, ['drain 0', 'memory']);
  ring.add(4);
  rig.turnUntil(() => rig.worker.inFlight(0) === 1, 'kept again');
  t.equal(rig.ask({ kind: 'stopVring', queue: 0 }), 2);
  t.same(told, ['drain 0', 'memory', 'drain 0']);
  t.equal(ring.usedIndex, 2);
  same.release();
});

t.test('a handler that can not be made is the worker’s failure', async (t) => {
  t.throws(() => new Rig('threads', handlerFactory, { failCreate: true }), /no such device/);
  const tooMany: HandlerFactory = {
    headerBytes: 16,
    create: ({ addFile }) => {
      addFile(99, 0, 0);
      throw new Error('not reached');
    },
  };
  t.throws(() => new Rig('threads', tooMany), /file 99/);
  t.throws(() => new Rig('threads', { ...handlerFactory, headerBytes: 49 }), TypeError);
});

t.test('the stop command ends the loop and closes the handler', async (t) => {
  const { rig } = openRig(t);
  rig.stop();
  t.same(rig.counts, [0, 0, 0, 1]);
  t.same(rig.reports.at(-1), { kind: 'answer', id: 1, result: 0 });
});
