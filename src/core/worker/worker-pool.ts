// The control thread's side of the workers: which queue belongs to which worker, commands out,
// answers and faults in. A ring has one owner thread at a time; this is how others ask for it.

import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { check, type LogId, native } from '../../native/index.js';
import { assert } from '../assert.js';
import type { DataHalf } from '../device.js';
import type {
  IoEngineName,
  IoRange,
  NumberedCommand,
  QueueRange,
  TranslationFault,
  VringStart,
  WorkerCommand,
  WorkerData,
  WorkerReport,
} from './commands.js';

/** vhost-user carries the vring index in 8 bits. */
const QUEUES_MAX = 256;

/** Of a pool that serves one device. */
export const ALL_QUEUES: QueueRange = { first: 0, last: QUEUES_MAX - 1 };

export interface WorkerPoolOptions {
  /** One mask of queue indices for each worker. */
  readonly queuesPerThread: readonly bigint[];
  readonly dataHalf: DataHalf;
  readonly engine: IoEngineName;
  readonly pollUs: number;
  readonly operationPollUs?: number | undefined;
}

export interface WorkerPoolEvents {
  queueBroken(queue: number, fault: number): void;
  kickLost(queue: number): void;
  /** The driver is to be called, and there is no call descriptor. */
  inbandCall(queue: number): void;
  /** A ring waits for a translation of an I/O address, or lacks a permission. */
  translationFault?(fault: TranslationFault): void;
  handlerFailed(error: string): void;
  /** A worker died of our own bug; the process can't go on. */
  workerFailed(error: Error): void;
}

interface Slot {
  readonly worker: Worker;
  readonly wakeFd: number;
  readonly waiting: Map<number, (result: number) => void>;
  readonly ready: Promise<IoEngineName>;
  readonly exited: Promise<void>;
  /** Nobody is there to answer any more. */
  gone: boolean;
}

/** What a worker that is gone answers: whoever asks must not wait for ever. */
const GONE = -constants.errno.EIO;

export class WorkerPool {
  readonly #slots: Slot[];
  readonly #queuesPerThread: readonly bigint[];
  readonly #events: WorkerPoolEvents;
  /** See QueueWorkerOptions; queues are the same in all workers, so one array does. */
  readonly #callsReported = new SharedArrayBuffer(QUEUES_MAX * 4);
  #nextId = 1;
  #closing = false;

  constructor(options: WorkerPoolOptions, events: WorkerPoolEvents) {
    this.#queuesPerThread = options.queuesPerThread;
    this.#events = events;
    this.#slots = options.queuesPerThread.map(() => this.#open(options));
  }

  /** Resolves with the engine in use once every worker runs. */
  async ready(): Promise<IoEngineName> {
    const engines = await Promise.all(this.#slots.map((slot) => slot.ready));
    return engines.includes('threads') ? 'threads' : 'io_uring';
  }

  /** 0 or -errno: EINVAL (size, alignment), EFAULT (ring outside memory), EBADMSG (what the
   *  inflight area holds makes no sense). */
  startVring(start: VringStart): Promise<number> {
    return this.#ask(this.#slotOf(start.queue), { kind: 'startVring', start });
  }

  /** The base to go on from, once everything in flight has completed. With `suspend` the driver is
   *  not told of it: the inflight area keeps it for the next start. */
  stopVring(queue: number, suspend = false): Promise<number> {
    return this.#ask(this.#slotOf(queue), { kind: 'stopVring', queue, suspend });
  }

  enableVring(queue: number, enabled: boolean): Promise<number> {
    return this.#ask(this.#slotOf(queue), { kind: 'enableVring', queue, enabled });
  }

  /** Resolves when the worker is awake; it looks at the ring after that. */
  kickVring(queue: number): Promise<number> {
    return this.#ask(this.#slotOf(queue), { kind: 'kickVring', queue });
  }

  setCall(queue: number, fd: number): Promise<number> {
    return this.#ask(this.#slotOf(queue), { kind: 'setCall', queue, fd });
  }

  setErr(queue: number, fd: number): Promise<number> {
    return this.#ask(this.#slotOf(queue), { kind: 'setErr', queue, fd });
  }

  /** The dirty log of a device's vrings; once resolved nothing touches a former one. */
  async setLog(log: LogId, data: boolean, queues = ALL_QUEUES): Promise<void> {
    await this.#askAll({ kind: 'setLog', log, data, queues });
  }

  setUsedLog(queue: number, address: bigint | undefined): Promise<number> {
    return this.#ask(this.#slotOf(queue), { kind: 'setUsedLog', queue, address });
  }

  async changeMemory(memory: number, queues = ALL_QUEUES): Promise<void> {
    await this.#askAll({ kind: 'changeMemory', memory, queues });
  }

  /** Resolves when no request in flight uses a translation that was taken back. */
  async changeTranslations(
    memory: number,
    range: IoRange,
    queues: QueueRange = ALL_QUEUES,
  ): Promise<void> {
    await this.#askAll({ kind: 'changeTranslations', memory, range, queues });
  }

  async tellHandlers(message: unknown, queues = ALL_QUEUES): Promise<void> {
    await this.#askAll({ kind: 'deviceMessage', message, queues });
  }

  /** Ends the workers; rings must be stopped. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#slots.map((slot) => this.#end(slot)));
  }

  async #end(slot: Slot): Promise<void> {
    await this.#ask(slot, { kind: 'stop' });
    await slot.exited;
    native.fdClose(slot.wakeFd);
  }

  #open({ dataHalf, engine, pollUs, operationPollUs }: WorkerPoolOptions): Slot {
    const wakeFd = check('eventfd', native.eventfdCreate(0));
    const data: WorkerData = {
      handlerModule: dataHalf.moduleUrl,
      device: dataHalf.device,
      handlerOptions: dataHalf.options,
      engine,
      wakeFd,
      pollUs,
      operationPollUs,
      callsReported: this.#callsReported,
    };
    const worker = new Worker(new URL('./worker-main.js', import.meta.url), { workerData: data });
    const waiting = new Map<number, (result: number) => void>();
    const ready = new Promise<IoEngineName>((resolve, reject) => {
      worker.on('message', (report: WorkerReport) => {
        if (report.kind === 'ready') {
          resolve(report.engine);
        } else {
          this.#onReport(waiting, report);
        }
      });
      worker.once('error', (error) => {
        reject(error);
        this.#events.workerFailed(error as Error);
      });
      worker.once('exit', () => {
        if (!this.#closing) {
          this.#events.workerFailed(new Error('a worker thread ended'));
        }
      });
    });
    ready.catch(() => {}); // workerFailed has told it
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const slot: Slot = { worker, wakeFd, waiting, ready, exited, gone: false };
    worker.once('exit', () => {
      slot.gone = true;
      for (const resolve of waiting.values()) {
        resolve(GONE);
      }
      waiting.clear();
    });
    return slot;
  }

  #onReport(waiting: Slot['waiting'], report: WorkerReport): void {
    switch (report.kind) {
      case 'answer': {
        const resolve = waiting.get(report.id);
        assert(resolve !== undefined, 'an answer nobody waits for');
        waiting.delete(report.id);
        resolve(report.result);
        break;
      }
      case 'queueBroken':
        this.#events.queueBroken(report.queue, report.fault);
        break;
      case 'kickLost':
        this.#events.kickLost(report.queue);
        break;
      case 'inbandCall':
        // Before it is handled: a call that comes from here on is another one.
        Atomics.store(new Int32Array(this.#callsReported), report.queue, 0);
        this.#events.inbandCall(report.queue);
        break;
      case 'translationFault':
        this.#events.translationFault?.(report.fault);
        break;
      case 'handlerFailed':
        this.#events.handlerFailed(report.error);
        break;
      case 'ready':
        break;
    }
  }

  #slotOf(queue: number): Slot {
    const bit = 1n << BigInt(queue);
    const owner = this.#queuesPerThread.findIndex((mask) => (mask & bit) !== 0n);
    return this.#slots[Math.max(owner, 0)] as Slot;
  }

  async #askAll(command: WorkerCommand): Promise<void> {
    await Promise.all(this.#slots.map((slot) => this.#ask(slot, command)));
  }

  #ask(slot: Slot, command: WorkerCommand): Promise<number> {
    if (slot.gone) {
      return Promise.resolve(GONE);
    }
    const id = this.#nextId++;
    const message: NumberedCommand = { id, command };
    return new Promise((resolve) => {
      slot.waiting.set(id, resolve);
      slot.worker.postMessage(message);
      native.eventfdSignal(slot.wakeFd);
    });
  }
}
