// The queues of a VhostDevice on their way to the back-end and back, with what they log meanwhile.

import {
  hasFeature,
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_VRING_F_LOG,
  VIRTIO_F_ACCESS_PLATFORM,
} from '../protocol/index.js';
import type { DeviceMemory } from './device-memory.js';
import { DeviceQueue, type QueueSetup } from './device-queue.js';
import { DirtyLog } from './dirty-log.js';
import { QUEUE_SIZE_MAX } from './vhost-backend.js';
import { requireState, type VhostDeviceBackend } from './vhost-device-backend.js';
import { VhostError } from './vhost-error.js';

export class DeviceVrings {
  readonly queues: readonly DeviceQueue[];
  /** Features the driver has acknowledged. */
  ackedFeatures = 0n;
  readonly #backend: VhostDeviceBackend;
  readonly #memory: DeviceMemory;
  #log: DirtyLog | undefined;

  constructor(
    backend: VhostDeviceBackend,
    memory: DeviceMemory,
    { first, count }: { readonly first: number; readonly count: number },
  ) {
    this.#backend = backend;
    this.#memory = memory;
    this.queues = Array.from({ length: count }, (_, i) => new DeviceQueue(first + i));
  }

  /** By its place in this device. Throws INVALID_QUEUE. */
  queue(index: number): DeviceQueue {
    const queue = this.queues[index];
    if (queue === undefined) {
      throw new VhostError('INVALID_QUEUE', `${index} of ${this.queues.length}`);
    }
    return queue;
  }

  /** What SET_FEATURES has to say now. */
  get featuresToSet(): bigint {
    return this.ackedFeatures | (this.#log === undefined ? 0n : VHOST_F_LOG_ALL);
  }

  /** Starts and enables the first queues. */
  async start(setups: readonly QueueSetup[]): Promise<void> {
    for (const [i, setup] of setups.entries()) {
      await this.#start(this.queue(i), setup);
    }
    await this.#enable(true);
  }

  /** Disables and stops what runs; where each queue stopped. A back-end that has gone is believed
   *  to have done what memory says it has; what went wrong comes with the bases. */
  async stop(): Promise<{ readonly bases: number[]; readonly failure: unknown }> {
    let failure: unknown;
    const note = (error: unknown): void => {
      failure ??= error;
    };
    // vhost-user trap: QEMU since 7.2 disables before GET_VRING_BASE; back-ends expect it.
    await this.#enable(false).catch(note);
    const running = this.queues.filter(({ setup }) => setup !== undefined);
    for (const queue of running) {
      try {
        queue.base = await this.#backend.getVringBase(queue.index);
      } catch (error) {
        note(error);
        queue.base = queue.setup?.usedIndex?.() ?? queue.base;
      }
      queue.setup = undefined;
    }
    return { bases: running.map(({ base }) => base), failure };
  }

  async mask(index: number, masked: boolean): Promise<void> {
    const queue = this.queue(index);
    queue.masked = masked;
    await this.#backend.setVringCall(queue.index, queue.notifiedFd);
  }

  async startLog(): Promise<void> {
    requireState(this.#log === undefined, 'logging already');
    const log = new DirtyLog(this.#memory.guestEnd);
    try {
      await this.#backend.setLogBase(log.area, log.fd);
      this.#log = log;
      await this.#applyLog();
    } catch (error) {
      this.#log = undefined;
      log.close();
      throw error;
    }
  }

  takeLog(): bigint[] {
    return this.#log?.take() ?? [];
  }

  /** Ends logging; the pages written since the last takeLog(). */
  async stopLog(): Promise<bigint[]> {
    const log = this.#log;
    this.#log = undefined;
    try {
      if (log !== undefined) {
        await this.#applyLog();
      }
      return log?.take() ?? [];
    } finally {
      log?.close();
    }
  }

  close(): void {
    this.#log?.close();
    this.#log = undefined;
    for (const queue of this.queues) {
      queue.close();
    }
  }

  async #start(queue: DeviceQueue, setup: QueueSetup): Promise<void> {
    const backend = this.#backend;
    queue.setup = setup;
    queue.base = setup.base ?? queue.base;
    await backend.setVringNum(queue.index, setup.size);
    await backend.setVringBase(queue.index, queue.base);
    await this.#setAddresses(queue, setup);
    await backend.setVringErr(queue.index, queue.errFd);
    await backend.setVringKick(queue.index, queue.kickFd);
    // What was signalled while the queue did not run is no news.
    queue.takePending();
    queue.masked = false;
    await backend.setVringCall(queue.index, queue.notifiedFd);
  }

  async #setAddresses({ index }: DeviceQueue, setup: QueueSetup): Promise<void> {
    // With an IOMMU the rings' addresses are I/O addresses, and the back-end asks for them.
    const direct = hasFeature(this.ackedFeatures, VIRTIO_F_ACCESS_PLATFORM);
    const user = (address: bigint) => (direct ? address : this.#memory.userAddress(address));
    await this.#backend.setVringAddr(index, {
      queueMaxSize: QUEUE_SIZE_MAX,
      queueSize: setup.size,
      flags: this.#log === undefined ? 0 : VHOST_VRING_F_LOG,
      descTableAddress: user(setup.descTableAddress),
      availRingAddress: user(setup.availRingAddress),
      usedRingAddress: user(setup.usedRingAddress),
      logAddress: setup.usedRingAddress,
    });
  }

  async #applyLog(): Promise<void> {
    await this.#backend.setFeatures(this.featuresToSet);
    for (const queue of this.queues) {
      if (queue.setup !== undefined) {
        await this.#setAddresses(queue, queue.setup);
      }
    }
  }

  async #enable(enabled: boolean): Promise<void> {
    if (!hasFeature(this.ackedFeatures, VHOST_USER_F_PROTOCOL_FEATURES)) {
      return;
    }
    for (const queue of this.queues) {
      if (queue.setup !== undefined) {
        await this.#backend.setVringEnable?.(queue.index, enabled);
      }
    }
  }
}
