// The dirty log of one session (vhost-user: "Logging"): the area, the descriptor to signal, and
// whether writes into buffers are logged. What it decides is in force in every worker before the
// front-end is answered, since the front-end then takes the former log away.

import { check, NO_LOG, native } from '../../native/index.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import type { LogArea } from '../protocol/index.js';
import type { QueueWorkers } from '../worker/pool-share.js';

const NO_FD = -1;

export class DirtyLog {
  readonly #pool: Pick<QueueWorkers, 'setLog'>;
  #id = NO_LOG;
  #signalFd = NO_FD;
  #data = false;

  constructor(pool: Pick<QueueWorkers, 'setLog'>) {
    this.#pool = pool;
  }

  /** True once the front-end has given an area. */
  get mapped(): boolean {
    return this.#id !== NO_LOG;
  }

  /** Maps an area and logs there from now on; the fd stays the caller's. Nothing changes when
   *  `accept` throws. Throws SystemError: EINVAL (size, sum, offset off a page), EBADF (no regular
   *  file), EACCES (not read-write), EOVERFLOW (file too short), or what mmap said. */
  async setArea(fd: number, area: LogArea, accept: (log: MappedLog) => void): Promise<void> {
    const { mmapSizeBytes, mmapOffsetBytes } = area;
    const id = check('map dirty log', native.logMap(fd, mmapSizeBytes, mmapOffsetBytes));
    try {
      accept(new MappedLog(id));
    } catch (error) {
      native.logRelease(id);
      throw error;
    }
    await this.#replace(this.#withSignal(id));
  }

  /** Takes ownership of an eventfd that is signalled after bits were set. */
  async setSignal(fd: number): Promise<void> {
    this.#closeSignal();
    this.#signalFd = fd;
    if (this.mapped) {
      await this.#replace(this.#withSignal(this.#id));
    }
  }

  /** Whether what devices write into buffers is logged (VHOST_F_LOG_ALL). */
  async setData(data: boolean): Promise<void> {
    const changed = data !== this.#data;
    this.#data = data;
    if (changed && this.mapped) {
      await this.#pool.setLog(this.#id, data);
    }
  }

  /** True unless the range is known to lie outside: before there is an area nothing is known. */
  mayCover(guestAddress: bigint, bytes: bigint): boolean {
    return !this.mapped || native.logCovers(this.#id, guestAddress, bytes);
  }

  /** The session is over and its vrings have stopped. */
  async close(): Promise<void> {
    this.#data = false;
    this.#closeSignal();
    if (this.mapped) {
      await this.#replace(NO_LOG);
    }
  }

  /** The number of a log with the signal descriptor; what it was made of is given up. */
  #withSignal(id: number): number {
    if (this.#signalFd === NO_FD) {
      return id;
    }
    const fd = check('duplicate log descriptor', native.fdDuplicate(this.#signalFd));
    const signalling = native.logWithSignal(id, fd);
    if (id !== this.#id) {
      native.logRelease(id);
    }
    return signalling;
  }

  async #replace(id: number): Promise<void> {
    const former = this.#id;
    this.#id = id;
    await this.#pool.setLog(id, this.#data);
    if (former !== NO_LOG) {
      native.logRelease(former);
    }
  }

  #closeSignal(): void {
    if (this.#signalFd !== NO_FD) {
      native.fdClose(this.#signalFd);
      this.#signalFd = NO_FD;
    }
  }
}

/** A mapped log that is not in use yet, to be looked at. */
export class MappedLog {
  readonly #id: number;

  constructor(id: number) {
    this.#id = id;
  }

  covers(guestAddress: bigint, bytes: bigint): boolean {
    return native.logCovers(this.#id, guestAddress, bytes);
  }

  coversMemory(memory: GuestMemory): boolean {
    return native.logCoversMemory(this.#id, memory.id);
  }
}
