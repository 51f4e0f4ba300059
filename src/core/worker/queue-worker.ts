// The data plane of one worker thread: turns of the native data plane, the device's handler between
// them, and the control thread's commands when the wake descriptor says there are some.
//
// The loop blocks in native code, not in Node's event loop: promises and timers of this thread do
// not run, `terminate()` is not heard, and the wake descriptor is the only way in.

import {
  check,
  type DataPlane,
  errnoName,
  exchange,
  NO_INFLIGHT,
  native,
} from '../../native/index.js';
import type { HandlerContext, HandlerFactory, QueueHandler } from '../device.js';
import { Batch } from '../virtqueue/batch.js';
import { CommandWriter } from '../virtqueue/command-writer.js';
import type {
  IoEngineName,
  NumberedCommand,
  QueueRange,
  VringStart,
  WorkerReport,
} from './commands.js';

export interface QueueWorkerOptions {
  readonly factory: HandlerFactory;
  readonly handlerOptions: unknown;
  readonly engine: IoEngineName;
  readonly wakeFd: number;
  readonly pollUs: number;
  /** Default: pollUs. */
  readonly operationPollUs?: number | undefined;
  /** The next command of the control thread, if there is one; never waits. */
  readonly nextCommand: () => NumberedCommand | undefined;
  readonly report: (report: WorkerReport) => void;
  /** One word a queue, 1 from the report of an in-band call until the control thread has taken it:
   *  however fast the ring, one report of it is on its way. */
  readonly callsReported: SharedArrayBuffer;
}

interface MemoryChange {
  /** Of the command that is answered when it is done. */
  readonly id: number;
  readonly memory: number;
  readonly queues: QueueRange;
}

/** A packed ring's base where it begins: both wrap counters are 1, both positions 0. */
const PACKED_BEGIN = 0x8000_8000;

/** Errors that mean "no io_uring here" rather than "io_uring is broken". */
const NO_URING = new Set(['EPERM', 'ENOSYS', 'EACCES', 'EINVAL', 'ENOMEM']);

export class QueueWorker {
  readonly #options: QueueWorkerOptions;
  readonly #tables = new exchange.Exchange();
  readonly #batch = new Batch(this.#tables);
  readonly #commands = new CommandWriter(this.#tables);
  readonly #plane: DataPlane;
  readonly #handler: QueueHandler;
  /** Queue index to the numbers of the commands that wait for it to drain: a session that ended
   *  while it waited asks again. */
  readonly #stopping = new Map<number, number[]>();
  #memoryChanges: MemoryChange[] = [];
  /** Commands that wait for the last request on a former translation. */
  #translationChanges: number[] = [];
  #running = true;
  /** The handler threw: nothing more reaches it. */
  #handlerFailed = false;
  readonly #queues = new Set<number>();
  /** Tokens of the handler's descriptors. */
  readonly #watched = new Set<number>();
  readonly #callsReported: Int32Array;
  /** The handler wants to be called after this turn. */
  #again = false;
  /** Avail indices at which vrings stopped. */
  readonly #endedAt = new Map<number, number>();

  constructor(options: QueueWorkerOptions) {
    this.#options = options;
    this.#callsReported = new Int32Array(options.callsReported);
    const { plane, engine } = openPlane(options, this.#tables);
    this.#plane = plane;
    this.#handler = options.factory.create(this.#context(plane));
    options.report({ kind: 'ready', engine });
  }

  #context(plane: DataPlane): HandlerContext {
    return {
      options: this.#options.handlerOptions,
      commands: this.#commands,
      addFile: (index, fd, directAlign) => {
        const result = plane.addFile(index, fd, directAlign);
        if (result < 0) {
          throw new Error(`file ${index}: errno ${-result}`);
        }
      },
      copyOut: (chain, offset, to, bytes) => plane.copyOut(chain, offset, to, 0, bytes),
      copyIn: (chain, offset, from, bytes) => plane.copyIn(chain, offset, from, 0, bytes),
      move: (code, chain, flags, fd, bytes, offset) =>
        plane.move(code, chain, flags, fd, bytes, offset),
      askKicks: (queue, asked) => plane.askKicks(queue, asked),
      paceCalls: (queue, packets, us) => plane.paceCalls(queue, packets, us),
      receiveScattered: (fd, chains, from, count, bytes, prefix, lengthAt, whole) =>
        plane.receiveScattered(fd, chains, from, count, bytes, prefix, lengthAt, whole),
      callAgain: () => {
        this.#again = true;
      },
      useArena: (bytes) => plane.setArena(bytes),
      limitTurn: (bytes) => plane.limitTurn(bytes),
      keepChains: (queue, shelf, counts) =>
        void check('shelf', plane.keepChains(queue, shelf, counts)),
      forwardFrames: (queue, flows, counts) =>
        void check('flows', plane.forwardFrames(queue, flows, counts)),
      useCapture: (ring) => void check('capture', plane.setCapture(ring)),
      capture: (tag, prefix, chain, offset, bytes) =>
        plane.capture(tag, prefix, 0, prefix.byteLength, chain, offset, bytes),
      watch: (fd, token, writable = false) => {
        check('watch', plane.watch(fd, token, writable));
        this.#watched.add(token);
      },
      unwatch: (token) => {
        this.#watched.delete(token);
        plane.unwatch(token);
      },
    };
  }

  /** Runs until the stop command. */
  run(): void {
    while (this.#running) {
      this.turn(true);
    }
    this.#handler.close?.();
    this.#plane.close();
  }

  /** One turn: commands down, completions and requests up. */
  turn(mayBlock: boolean): void {
    const count = this.#commands.take();
    const again = this.#again;
    this.#again = false;
    const got = this.#plane.turn(count, mayBlock && !again && !this.#commands.pending);
    const completions = (got >> exchange.TURN_COMPLETIONS_SHIFT) & exchange.TURN_COUNT_MASK;
    const events = (got >> exchange.TURN_EVENTS_SHIFT) & exchange.TURN_COUNT_MASK;
    const requests = got & exchange.TURN_COUNT_MASK;
    this.#callHandler(requests, completions);
    if (requests > 0) {
      // What a former back-end left is fetched while a queue drains too; nobody may keep it either.
      for (const queue of this.#stopping.keys()) {
        this.#guard(() => this.#handler.drain?.(queue));
      }
    }
    if (events > 0) {
      this.#reportEvents(events);
    }
    if (again) {
      this.#guard(() => this.#handler.again?.());
    }
    if (got & exchange.TURN_WAKE) {
      this.#takeCommands();
    }
    if (this.#stopping.size > 0 || this.#memoryChanges.length > 0) {
      this.#finishQuiesced();
    }
    if (this.#translationChanges.length > 0) {
      this.#finishTranslations();
    }
  }

  #callHandler(requests: number, completions: number): void {
    if (this.#handlerFailed) {
      this.#abandon(requests, completions);
      return;
    }
    try {
      const table = this.#tables.completions;
      for (let i = 0; i < completions; i++) {
        const at = i * exchange.SMALL_RECORD_WORDS;
        this.#handler.completion(
          (table[at + exchange.COMPLETION_CHAIN] as number) >>> 0,
          table[at + exchange.COMPLETION_TAG] as number,
          table[at + exchange.COMPLETION_RESULT] as number,
        );
      }
      if (requests > 0) {
        this.#batch.count = requests;
        this.#handler.requests(this.#batch);
      }
    } catch (error) {
      this.#failHandler(error);
    }
  }

  /** LF-012: a device's own bug stops its queues, not the process. */
  #failHandler(error: unknown): void {
    this.#handlerFailed = true;
    const text = String((error as Error).stack ?? error);
    this.#options.report({ kind: 'handlerFailed', error: text });
    for (const queue of this.#queues) {
      this.#plane.giveUp(queue);
    }
  }

  /** Chains of a failed handler go back unserved, so that the rings can still be drained. */
  #abandon(requests: number, completions: number): void {
    for (let i = 0; i < requests; i++) {
      this.#commands.complete(this.#batch.chain(i), 0);
    }
    for (let i = 0; i < completions; i++) {
      const at = i * exchange.SMALL_RECORD_WORDS;
      const chain = (this.#tables.completions[at] as number) >>> 0;
      if (chain !== exchange.NO_CHAIN) {
        this.#commands.complete(chain, 0);
      }
    }
  }

  #reportEvents(count: number): void {
    for (let i = 0; i < count; i++) {
      const at = i * exchange.SMALL_RECORD_WORDS;
      const queue = this.#tables.events[at + exchange.EVENT_QUEUE] as number;
      const detail = this.#tables.events[at + exchange.EVENT_DETAIL] as number;
      const code = this.#tables.events[at + exchange.EVENT_CODE] as number;
      this.#takeEvent(code, queue, detail);
    }
  }

  #takeEvent(code: number, queue: number, detail: number): void {
    switch (code) {
      case exchange.EVENT_QUEUE_BROKEN:
        this.#options.report({ kind: 'queueBroken', queue, fault: detail });
        break;
      case exchange.EVENT_KICK_LOST:
        this.#options.report({ kind: 'kickLost', queue });
        break;
      case exchange.EVENT_READABLE:
        this.#deviceEvent(queue, detail !== 0);
        break;
      case exchange.EVENT_CALL:
        if (Atomics.exchange(this.#callsReported, queue, 1) === 0) {
          this.#options.report({ kind: 'inbandCall', queue });
        }
        break;
      case exchange.EVENT_MISSING:
      case exchange.EVENT_NO_PERMISSION: {
        const iova = this.#plane.missingAddress(queue);
        const missing = code === exchange.EVENT_MISSING;
        const fault = { queue, iova, permission: detail, missing };
        this.#options.report({ kind: 'translationFault', fault });
        break;
      }
    }
  }

  /** One that came before its token was given back is of no interest any more. */
  #deviceEvent(token: number, hungUp: boolean): void {
    if (!this.#watched.has(token)) {
      return;
    }
    if (hungUp) {
      this.#watched.delete(token);
    }
    this.#guard(() => this.#handler.event?.(token, hungUp));
  }

  #takeCommands(): void {
    for (;;) {
      const next = this.#options.nextCommand();
      if (next === undefined) {
        return;
      }
      const result = this.#execute(next);
      if (result !== undefined) {
        this.#answer(next.id, result);
      }
    }
  }

  #answer(id: number, result: number): void {
    this.#options.report({ kind: 'answer', id, result });
  }

  /** The result, or undefined when the answer comes later. */
  #execute({ id, command }: NumberedCommand): number | undefined {
    switch (command.kind) {
      case 'startVring':
        return this.#startVring(command.start);
      case 'enableVring':
        this.#plane.enableVring(command.queue, command.enabled);
        this.#guard(() => this.#handler.vringEnabled?.(command.queue, command.enabled));
        return 0;
      case 'kickVring':
        // The wake-up that brought this has made the next turn look at every ring.
        return 0;
      case 'setCall':
        this.#plane.setCall(command.queue, command.fd);
        return 0;
      case 'setErr':
        this.#plane.setErr(command.queue, command.fd);
        return 0;
      case 'setLog':
        this.#plane.setLog(command.log, command.data, command.queues.first, command.queues.last);
        return 0;
      case 'setUsedLog':
        this.#setUsedLog(command.queue, command.address);
        return 0;
      case 'stopVring':
        this.#plane.drainVring(command.queue, command.suspend ?? false);
        this.#guard(() => this.#handler.vringEnabled?.(command.queue, false));
        this.#guard(() => this.#handler.drain?.(command.queue));
        this.#stopping.set(command.queue, [...(this.#stopping.get(command.queue) ?? []), id]);
        return undefined;
      case 'changeMemory':
        this.#beginMemoryChange({ id, memory: command.memory, queues: command.queues });
        return undefined;
      case 'changeTranslations': {
        const { memory, range, queues } = command;
        this.#plane.changeTranslations(memory, range.first, range.last, queues.first, queues.last);
        this.#translationChanges.push(id);
        return undefined;
      }
      case 'deviceMessage':
        this.#guard(() => this.#handler.message?.(command.message, command.queues.first));
        return 0;
      case 'stop':
        this.#running = false;
        return 0;
    }
  }

  #beginMemoryChange(change: MemoryChange): void {
    const { first, last } = change.queues;
    this.#plane.hold(true, first, last);
    for (const queue of this.#queues) {
      if (queue >= first && queue <= last) {
        this.#guard(() => this.#handler.drain?.(queue));
      }
    }
    this.#memoryChanges.push(change);
  }

  /** Every call of the device's own code but those of the data path. */
  #guard(call: () => void): void {
    if (this.#handlerFailed) {
      return;
    }
    try {
      call();
    } catch (error) {
      this.#failHandler(error);
    }
  }

  #setUsedLog(queue: number, address: bigint | undefined): void {
    this.#plane.setUsedLog(queue, address !== undefined, address ?? 0n);
  }

  #startVring(start: VringStart): number {
    this.#setUsedLog(start.queue, start.usedLogAddress);
    const result = this.#plane.startVring(
      start.queue,
      start.size,
      start.descriptorAddress,
      start.availableAddress,
      start.usedAddress,
      start.availBase,
      start.eventIdx,
      start.kickFd,
      start.callFd,
      start.errFd,
      start.memory,
      start.inflight ?? NO_INFLIGHT,
      start.packed,
      start.addressing,
      start.areaQueue ?? start.queue,
      start.inOrder ?? false,
      start.readOnly ?? false,
    );
    if (result === 0) {
      this.#queues.add(start.queue);
      const resumed = this.#endedAt.get(start.queue) === start.availBase;
      const begin = start.availBase === 0 || (start.packed && start.availBase === PACKED_BEGIN);
      const where = begin ? 'fresh' : resumed ? 'resumed' : 'elsewhere';
      this.#guard(() => this.#handler.started?.(start.queue, where));
      this.#plane.setInband(start.queue, start.inbandKicks, start.inbandCalls);
      this.#plane.enableVring(start.queue, start.enabled);
      this.#guard(() => this.#handler.vringEnabled?.(start.queue, start.enabled));
    }
    return result;
  }

  /** Answers stops and memory changes whose last request has gone. */
  #finishQuiesced(): void {
    for (const [queue, ids] of this.#stopping) {
      if (this.#plane.inFlight(queue) === 0) {
        this.#stopping.delete(queue);
        this.#queues.delete(queue);
        const base = this.#plane.endVring(queue);
        this.#endedAt.set(queue, base);
        for (const id of ids) {
          this.#answer(id, base);
        }
      }
    }
    for (const change of this.#memoryChanges) {
      const { first, last } = change.queues;
      if (this.#plane.inFlightTotal(first, last) === 0) {
        this.#memoryChanges = this.#memoryChanges.filter((other) => other !== change);
        this.#answer(change.id, this.#plane.changeMemory(change.memory, first, last));
        this.#plane.hold(false, first, last);
        this.#guard(() => this.#handler.memoryUpdated?.());
      }
    }
  }

  #finishTranslations(): void {
    if (this.#plane.translationsSettled()) {
      for (const id of this.#translationChanges) {
        this.#answer(id, 0);
      }
      this.#translationChanges = [];
    }
  }

  /** Requests in flight on a queue, for tests. */
  inFlight(queue: number): number {
    return this.#plane.inFlight(queue);
  }
}

function openPlane(
  { engine, wakeFd, pollUs, operationPollUs = pollUs, factory }: QueueWorkerOptions,
  tables: exchange.Exchange,
): { plane: DataPlane; engine: IoEngineName } {
  const { headerBytes } = factory;
  const open = (uring: boolean) =>
    new native.DataPlane(tables.bytes, uring, wakeFd, pollUs, operationPollUs, headerBytes);
  if (engine === 'io_uring') {
    try {
      return { plane: open(true), engine: 'io_uring' };
    } catch (error) {
      if (!NO_URING.has(errnoCode(error))) {
        throw error;
      }
    }
  }
  return { plane: open(false), engine: 'threads' };
}

function errnoCode(error: unknown): string {
  const { errno } = error as { readonly errno?: number };
  return errno === undefined ? '' : errnoName(errno);
}
