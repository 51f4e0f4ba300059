// The data plane of one worker thread: turns of the native data plane, the device's handler between
// them, and the control thread's commands when the wake descriptor says there are some.
//
// The loop blocks in native code, not in Node's event loop: promises and timers of this thread do
// not run, `terminate()` is not heard, and the wake descriptor is the only way in.

import { type DataPlane, errnoName, exchange, native } from '../../native/index.js';
import type { HandlerFactory, QueueHandler } from '../device.js';
import { Batch } from '../virtqueue/batch.js';
import { CommandWriter } from '../virtqueue/command-writer.js';
import type { IoEngineName, NumberedCommand, VringStart, WorkerReport } from './commands.js';

export interface QueueWorkerOptions {
  readonly factory: HandlerFactory;
  readonly handlerOptions: unknown;
  readonly engine: IoEngineName;
  readonly wakeFd: number;
  readonly pollUs: number;
  /** The next command of the control thread, if there is one; never waits. */
  readonly nextCommand: () => NumberedCommand | undefined;
  readonly report: (report: WorkerReport) => void;
}

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
  #memoryChanges: { readonly id: number; readonly memory: number }[] = [];
  /** Commands that wait for the last request on a former translation. */
  #translationChanges: number[] = [];
  #running = true;
  /** The handler threw: nothing more reaches it. */
  #handlerFailed = false;
  readonly #queues = new Set<number>();

  constructor(options: QueueWorkerOptions) {
    this.#options = options;
    const { plane, engine } = openPlane(options, this.#tables);
    this.#plane = plane;
    this.#handler = options.factory.create({
      options: options.handlerOptions,
      commands: this.#commands,
      addFile: (index, fd, directAlign) => {
        const result = plane.addFile(index, fd, directAlign);
        if (result < 0) {
          throw new Error(`file ${index}: errno ${-result}`);
        }
      },
      copyOut: (chain, offset, to, bytes) => plane.copyOut(chain, offset, to, 0, bytes),
      copyIn: (chain, offset, from, bytes) => plane.copyIn(chain, offset, from, 0, bytes),
    });
    options.report({ kind: 'ready', engine });
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
    const got = this.#plane.turn(count, mayBlock && !this.#commands.pending);
    const completions = (got >> exchange.TURN_COMPLETIONS_SHIFT) & exchange.TURN_COUNT_MASK;
    const events = (got >> exchange.TURN_EVENTS_SHIFT) & exchange.TURN_COUNT_MASK;
    this.#callHandler(got & exchange.TURN_COUNT_MASK, completions);
    if (events > 0) {
      this.#reportEvents(events);
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
      this.#reportEvent(code, queue, detail);
    }
  }

  #reportEvent(code: number, queue: number, detail: number): void {
    if (code === exchange.EVENT_QUEUE_BROKEN) {
      this.#options.report({ kind: 'queueBroken', queue, fault: detail });
    } else if (code === exchange.EVENT_KICK_LOST) {
      this.#options.report({ kind: 'kickLost', queue });
    } else {
      const fault = {
        queue,
        iova: this.#plane.missingAddress(queue),
        permission: detail,
        missing: code === exchange.EVENT_MISSING,
      };
      this.#options.report({ kind: 'translationFault', fault });
    }
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
        return 0;
      case 'setCall':
        this.#plane.setCall(command.queue, command.fd);
        return 0;
      case 'setErr':
        this.#plane.setErr(command.queue, command.fd);
        return 0;
      case 'stopVring':
        this.#plane.drainVring(command.queue);
        this.#stopping.set(command.queue, [...(this.#stopping.get(command.queue) ?? []), id]);
        return undefined;
      case 'changeMemory':
        this.#plane.hold(true);
        this.#memoryChanges.push({ id, memory: command.memory });
        return undefined;
      case 'changeTranslations':
        this.#plane.changeTranslations(command.memory, command.range.first, command.range.last);
        this.#translationChanges.push(id);
        return undefined;
      case 'deviceMessage':
        this.#deliver(command.message);
        return 0;
      case 'stop':
        this.#running = false;
        return 0;
    }
  }

  #deliver(message: unknown): void {
    if (this.#handlerFailed) {
      return;
    }
    try {
      this.#handler.message?.(message);
    } catch (error) {
      this.#failHandler(error);
    }
  }

  #startVring(start: VringStart): number {
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
      start.addressing,
    );
    if (result === 0) {
      this.#queues.add(start.queue);
      this.#plane.enableVring(start.queue, start.enabled);
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
        for (const id of ids) {
          this.#answer(id, base);
        }
      }
    }
    if (this.#memoryChanges.length > 0 && this.#plane.inFlightTotal() === 0) {
      for (const { id, memory } of this.#memoryChanges) {
        this.#answer(id, this.#plane.changeMemory(memory));
      }
      this.#memoryChanges = [];
      this.#plane.hold(false);
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
  { engine, wakeFd, pollUs, factory }: QueueWorkerOptions,
  tables: exchange.Exchange,
): { plane: DataPlane; engine: IoEngineName } {
  const open = (uring: boolean) =>
    new native.DataPlane(tables.bytes, uring, wakeFd, pollUs, factory.headerBytes);
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
