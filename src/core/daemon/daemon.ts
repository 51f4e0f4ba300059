// A device and where its front-ends come from: workers started once, one session after another
// until told to stop.

import { native, READABLE, type Watcher } from '../../native/index.js';
import { Connection } from '../connection/connection.js';
import type { VirtioDevice } from '../device.js';
import { type Log, rateLimited } from '../log.js';
import { SessionBackendRequests } from '../session/backend-requests.js';
import { Session } from '../session/session.js';
import type { IoEngineName } from '../worker/commands.js';
import type { PoolShare, QueueWorkers } from '../worker/pool-share.js';
import { WorkerPool, type WorkerPoolEvents } from '../worker/worker-pool.js';
import type { Listener } from './listener.js';

/** A front-end that connects and stalls would keep others out (CS-016). */
const HANDSHAKE_TIMEOUT_MS = 30_000;

/** A front-end that comes back at once, or one behind a probe, may be accepted before we have read
 *  the end of the former connection: it is turned away only when that is still alive after this. */
const HANG_UP_GRACE_MS = 500;

export interface DaemonOptions {
  readonly device: VirtioDevice;
  readonly listener: Listener;
  readonly log: Log;
  readonly workers: number;
  readonly engine: IoEngineName;
  /** How long a worker looks before it sleeps: for the driver's next request, and while operations
   *  of its device run (default: as long). Microseconds. */
  readonly pollUs: number;
  readonly operationPollUs?: number | undefined;
  /** Workers that serve other devices too, and outlive this daemon. Default: its own. */
  readonly share?: PoolShare | undefined;
  /** End after the first session that negotiated something. */
  readonly once: boolean;
  /** From the connection to SET_OWNER or SET_FEATURES, where others may wait for the place. */
  readonly handshakeTimeoutMs?: number;
  readonly messageTimeoutMs?: number;
}

export class Daemon {
  readonly #options: DaemonOptions;
  readonly #pool: QueueWorkers;
  readonly #turnedAway: Log['warn'];
  #session: Session | undefined;
  #stopping = false;
  #failure: Error | undefined;
  readonly #exits: Watcher[] = [];

  constructor(options: DaemonOptions) {
    this.#options = options;
    const { device, log } = options;
    this.#turnedAway = rateLimited((fields, message) => log.warn(fields, message));
    this.#pool = this.#openPool({
      queueBroken: (queue, fault) => this.#session?.queueBroken(queue, fault),
      kickLost: (queue) => log.warn({ queue }, 'the kick descriptor hung up'),
      inbandCall: (queue) => this.#session?.inbandCall(queue),
      translationFault: (fault) => this.#session?.translations.fault(fault),
      handlerFailed: (error) => log.error({ error }, 'the device failed, its queues are stopped'),
      workerFailed: (error) => this.#fail(error),
    });
    const backend = new SessionBackendRequests(() => this.#session?.notifier);
    device.attach?.({
      backend,
      configChanged: () =>
        void backend
          .configChanged()
          .catch((error: unknown) => log.warn({}, `config change not delivered: ${error}`)),
      tellHandlers: (message) => this.#pool.tellHandlers(message),
    });
    this.#watchExits();
  }

  /** Serves until stop(), the end of the listener, or a failure of our own, which rejects. */
  async run(): Promise<void> {
    const { listener, log } = this.#options;
    void this.#pool.ready().then(
      (engine) => log.info({ engine, workers: this.#options.workers }, 'workers run'),
      () => {},
    );
    let next: Promise<number | undefined> | undefined;
    for (;;) {
      const fd = await (next ?? listener.accept());
      next = undefined;
      if (fd === undefined) {
        break;
      }
      const served = this.#serve(fd);
      if (listener.exclusive !== true) {
        next = this.#refuseWhile(served);
      }
      const used = await served;
      if (this.#stopping || (this.#options.once && used)) {
        break;
      }
    }
    listener.close();
    for (const watcher of this.#exits) {
      watcher.close();
    }
    const leftover = await next;
    if (leftover !== undefined) {
      native.fdClose(leftover);
    }
    await this.#pool.close();
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
  }

  /** Drains and ends; run() then resolves. */
  stop(): void {
    this.#stopping = true;
    this.#options.listener.close();
    this.#session?.connection.close();
  }

  #openPool(events: WorkerPoolEvents): QueueWorkers {
    const { device, workers, engine, pollUs, operationPollUs, share } = this.#options;
    if (share !== undefined) {
      share.events = events;
      return share;
    }
    const queuesPerThread = device.queuesPerThread?.(workers) ?? roundRobin(device, workers);
    const dataHalf = device.dataHalf();
    const how = { queuesPerThread, dataHalf, engine, pollUs, operationPollUs };
    return new WorkerPool(how, events);
  }

  /** A worker that ends takes the daemon with it: its rings have no other. */
  #watchExits(): void {
    const { device, workers, log } = this.#options;
    const fds = new Set<number>();
    for (let worker = 0; worker < workers; worker++) {
      const fd = device.exitEvent?.(worker);
      if (fd !== undefined && !fds.has(fd)) {
        fds.add(fd);
        const watcher = new native.Watcher(fd, () => {
          watcher.watch(0);
          log.info({ worker }, 'the device asked to end');
          this.stop();
        });
        watcher.watch(READABLE);
        this.#exits.push(watcher);
      }
    }
  }

  /** True when the front-end negotiated features: a probe only looks (libvirt, trap 19). */
  async #serve(fd: number): Promise<boolean> {
    const { device, listener, log, messageTimeoutMs } = this.#options;
    const connection = new Connection(
      fd,
      messageTimeoutMs === undefined ? {} : { messageTimeoutMs },
    );
    if (this.#stopping) {
      connection.close();
      return false;
    }
    log.info({}, 'front-end connected');
    const session = new Session({
      connection,
      device,
      pool: this.#pool,
      log,
      ...(listener.exclusive === true
        ? {}
        : { handshakeTimeoutMs: this.#options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS }),
    });
    this.#session = session;
    await session.run();
    this.#session = undefined;
    log.info({}, 'front-end gone');
    return session.featuresSet;
  }

  /** One front-end at a time: others are turned away while it is connected (CS-022). One that comes
   *  as the former leaves waits for the clean-up and is served next. */
  async #refuseWhile(served: Promise<boolean>): Promise<number | undefined> {
    let over = false;
    void served.then(() => {
      over = true;
    });
    for (;;) {
      const fd = await this.#options.listener.accept();
      if (fd === undefined) {
        return fd;
      }
      await withinGrace(served);
      if (over || this.#session?.connection.closed !== false) {
        return fd;
      }
      this.#turnedAway({}, 'a second front-end was turned away');
      native.fdClose(fd);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#options.log.error({ error: String(error.stack ?? error) }, 'worker failed');
    this.stop();
  }
}

async function withinGrace(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const grace = new Promise((resolve) => {
    timer = setTimeout(resolve, HANG_UP_GRACE_MS);
  });
  await Promise.race([work, grace]);
  clearTimeout(timer);
}

function roundRobin(device: VirtioDevice, workers: number): bigint[] {
  const masks = new Array<bigint>(workers).fill(0n);
  for (let queue = 0; queue < device.numQueues(); queue++) {
    const owner = queue % workers;
    masks[owner] = (masks[owner] ?? 0n) | (1n << BigInt(queue));
  }
  return masks;
}
