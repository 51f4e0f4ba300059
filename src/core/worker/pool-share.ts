// A pool of workers that serves several devices, each with a range of its queues and a guest memory
// of its own: their rings meet in one data plane, which can move bytes from one guest to another.

import type { LogId } from '../../native/index.js';
import type { IoEngineName, IoRange, QueueRange, VringStart } from './commands.js';
import { WorkerPool, type WorkerPoolEvents, type WorkerPoolOptions } from './worker-pool.js';

/** What a session asks of the workers, by the device's own queue indices. */
export type QueueWorkers = Pick<WorkerPool, keyof PoolShare & keyof WorkerPool>;

export class SharedPool {
  readonly shares: readonly PoolShare[];
  readonly #pool: WorkerPool;

  /** `queueCounts`: of each device. */
  constructor(options: WorkerPoolOptions, queueCounts: readonly number[]) {
    this.#pool = new WorkerPool(options, {
      queueBroken: (queue, fault) => this.#at(queue, (to, own) => to.queueBroken(own, fault)),
      kickLost: (queue) => this.#at(queue, (to, own) => to.kickLost(own)),
      inbandCall: (queue) => this.#at(queue, (to, own) => to.inbandCall(own)),
      translationFault: (fault) =>
        this.#at(fault.queue, (to, queue) => to.translationFault?.({ ...fault, queue })),
      handlerFailed: (error) => this.#all((to) => to.handlerFailed(error)),
      workerFailed: (error) => this.#all((to) => to.workerFailed(error)),
    });
    let first = 0;
    this.shares = queueCounts.map((count) => {
      const share = new PoolShare(this.#pool, { first, last: first + count - 1 });
      first += count;
      return share;
    });
  }

  /** Ends the workers; rings must be stopped. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  #at(queue: number, tell: (events: WorkerPoolEvents, own: number) => void): void {
    const share = this.shares.find(({ queues }) => queue >= queues.first && queue <= queues.last);
    if (share?.events !== undefined) {
      tell(share.events, queue - share.queues.first);
    }
  }

  #all(tell: (events: WorkerPoolEvents) => void): void {
    for (const { events } of this.shares) {
      if (events !== undefined) {
        tell(events);
      }
    }
  }
}

export class PoolShare {
  readonly queues: QueueRange;
  /** Of whoever serves the device. */
  events: WorkerPoolEvents | undefined;
  readonly #pool: WorkerPool;

  constructor(pool: WorkerPool, queues: QueueRange) {
    this.#pool = pool;
    this.queues = queues;
  }

  ready(): Promise<IoEngineName> {
    return this.#pool.ready();
  }

  startVring(start: VringStart): Promise<number> {
    return this.#pool.startVring({
      ...start,
      queue: this.#of(start.queue),
      areaQueue: start.queue,
    });
  }

  stopVring(queue: number, suspend = false): Promise<number> {
    return this.#pool.stopVring(this.#of(queue), suspend);
  }

  enableVring(queue: number, enabled: boolean): Promise<number> {
    return this.#pool.enableVring(this.#of(queue), enabled);
  }

  kickVring(queue: number): Promise<number> {
    return this.#pool.kickVring(this.#of(queue));
  }

  setCall(queue: number, fd: number): Promise<number> {
    return this.#pool.setCall(this.#of(queue), fd);
  }

  setErr(queue: number, fd: number): Promise<number> {
    return this.#pool.setErr(this.#of(queue), fd);
  }

  setLog(log: LogId, data: boolean): Promise<void> {
    return this.#pool.setLog(log, data, this.queues);
  }

  setUsedLog(queue: number, address: bigint | undefined): Promise<number> {
    return this.#pool.setUsedLog(this.#of(queue), address);
  }

  changeMemory(memory: number): Promise<void> {
    return this.#pool.changeMemory(memory, this.queues);
  }

  changeTranslations(memory: number, range: IoRange): Promise<void> {
    return this.#pool.changeTranslations(memory, range, this.queues);
  }

  tellHandlers(message: unknown): Promise<void> {
    return this.#pool.tellHandlers(message, this.queues);
  }

  /** The workers end with the SharedPool. */
  async close(): Promise<void> {
    this.events = undefined;
  }

  #of(queue: number): number {
    return this.queues.first + queue;
  }
}
