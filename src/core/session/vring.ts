// What the control plane knows of one vring. Two independent bits as in vhost-user "Ring states":
// started (a worker owns it) and enabled. Descriptors are held here until the worker gets them.

import { native } from '../../native/index.js';
import { VhostUserError, type VringAddr } from '../protocol/index.js';
import type { WorkerPool } from '../worker/worker-pool.js';

/** What a worker needs beside the vring itself. */
export interface VringContext {
  readonly memory: number;
  readonly eventIdx: boolean;
  readonly addressing: number;
  readonly pool: WorkerPool;
}

const NO_FD = -1;

export class Vring {
  readonly index: number;
  size = 0;
  base = 0;
  addresses: VringAddr | undefined;
  enabled = false;
  #started = false;
  #stopping: Promise<number> | undefined;
  /** SET_VRING_KICK has come, with a descriptor or with the word that there is none. */
  #kickSet = false;
  #kickFd = NO_FD;
  #callFd = NO_FD;
  #errFd = NO_FD;

  constructor(index: number) {
    this.index = index;
  }

  get started(): boolean {
    return this.#started;
  }

  /** True when everything a start needs has been said. */
  get ready(): boolean {
    return !this.#started && this.#kickSet && this.size > 0 && this.addresses !== undefined;
  }

  requireStopped(what: string): void {
    if (this.#started) {
      throw new VhostUserError('VRING_STATE', `${what} of vring ${this.index} while it runs`);
    }
  }

  setKick(fd: number | undefined): void {
    this.#replace('kick', fd);
    this.#kickSet = true;
  }

  async setCall(fd: number | undefined, pool: WorkerPool): Promise<void> {
    if (this.#started) {
      await pool.setCall(this.index, fd ?? NO_FD);
    } else {
      this.#replace('call', fd);
    }
  }

  async setErr(fd: number | undefined, pool: WorkerPool): Promise<void> {
    if (this.#started) {
      await pool.setErr(this.index, fd ?? NO_FD);
    } else {
      this.#replace('err', fd);
    }
  }

  async setEnabled(enabled: boolean, pool: WorkerPool): Promise<void> {
    this.enabled = enabled;
    if (this.#started) {
      await pool.enableVring(this.index, enabled);
    }
  }

  /** Hands the vring to its worker. Throws VhostUserError when the worker can't run it. */
  async start({ memory, eventIdx, addressing, pool }: VringContext): Promise<void> {
    const { addresses } = this;
    if (!this.ready || addresses === undefined) {
      return;
    }
    const [kickFd, callFd, errFd] = [this.#kickFd, this.#callFd, this.#errFd];
    // From here on the worker owns them, also when it refuses the vring.
    this.#kickFd = this.#callFd = this.#errFd = NO_FD;
    this.#kickSet = false;
    this.#started = true;
    const result = await pool.startVring({
      queue: this.index,
      size: this.size,
      descriptorAddress: addresses.descriptorAddress,
      availableAddress: addresses.availableAddress,
      usedAddress: addresses.usedAddress,
      availBase: this.base,
      eventIdx,
      enabled: this.enabled,
      kickFd,
      callFd,
      errFd,
      memory,
      addressing,
    });
    if (result < 0) {
      this.#started = false;
      throw new VhostUserError('VRING_ADDRESS', `vring ${this.index}`);
    }
  }

  /** Drains and takes the vring back; the next avail index. Addresses of a stopped ring are
   *  forgotten, so that a later start can't run on stale ones (CS-119). */
  async stop(pool: WorkerPool): Promise<number> {
    if (this.#started) {
      // A session may end while a GET_VRING_BASE still drains: both wait for the same stop.
      this.#stopping ??= pool.stopVring(this.index);
      const base = await this.#stopping;
      this.#stopping = undefined;
      this.#started = false;
      this.base = Math.max(base, 0);
    }
    this.addresses = undefined;
    this.close();
    return this.base;
  }

  close(): void {
    this.#replace('kick', undefined);
    this.#replace('call', undefined);
    this.#replace('err', undefined);
    this.#kickSet = false;
  }

  #replace(which: 'kick' | 'call' | 'err', fd: number | undefined): void {
    const old = { kick: this.#kickFd, call: this.#callFd, err: this.#errFd }[which];
    if (old !== NO_FD) {
      native.fdClose(old);
    }
    const now = fd ?? NO_FD;
    if (which === 'kick') {
      this.#kickFd = now;
    } else if (which === 'call') {
      this.#callFd = now;
    } else {
      this.#errFd = now;
    }
  }
}
