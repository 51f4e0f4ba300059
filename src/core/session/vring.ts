// What the control plane knows of one vring. Two independent bits as in vhost-user "Ring states":
// started (a worker owns it) and enabled. Descriptors are held here until the worker gets them.

import { check, errnoName, type InflightId, NO_INFLIGHT, native } from '../../native/index.js';
import { VHOST_VRING_F_LOG, VhostUserError, type VringAddr } from '../protocol/index.js';
import type { QueueWorkers } from '../worker/pool-share.js';

/** What a worker needs beside the vring itself. */
export interface VringContext {
  readonly memory: number;
  readonly inflight?: InflightId;
  readonly eventIdx: boolean;
  readonly packed: boolean;
  readonly inOrder: boolean;
  /** The device only reads its buffers. */
  readonly readOnly: boolean;
  /** ADDRESSING_IO, ADDRESSING_GUEST. */
  readonly addressing: number;
  /** vhost-user: INBAND_NOTIFICATIONS is negotiated. */
  readonly inband: boolean;
  readonly pool: QueueWorkers;
}

const NO_FD = -1;

/** Where a ring begins: index 0, and in a packed one both wrap counters 1 (VIRTIO 1.3 §2.8.1). */
export function firstBase(packed: boolean): number {
  return packed ? 0x8000_8000 : 0;
}

export class Vring {
  readonly index: number;
  size = 0;
  /** undefined: neither told nor ever run. */
  base: number | undefined;
  addresses: VringAddr | undefined;
  enabled = false;
  #started = false;
  #stopping: Promise<number> | undefined;
  /** SET_VRING_KICK has come, with a descriptor or with the word that there is none. */
  #kickSet = false;
  /** It was not SET_VRING_KICK but VRING_KICK: kicks come as messages, the ring is not polled. */
  #kickInband = false;
  /** SET_VRING_CALL and SET_VRING_ERR said that there is no descriptor. Only then messages take its
   *  place: QEMU acknowledges INBAND_NOTIFICATIONS without knowing them. */
  #callByMessage = false;
  #errByMessage = false;
  #kickFd = NO_FD;
  #callFd = NO_FD;
  #errFd = NO_FD;

  constructor(index: number) {
    this.index = index;
  }

  get started(): boolean {
    return this.#started;
  }

  /** Whether the front-end gave a descriptor for calls, or for errors. */
  get callByMessage(): boolean {
    return this.#callByMessage;
  }

  get errByMessage(): boolean {
    return this.#errByMessage;
  }

  /** True when everything a start needs has been said. */
  get ready(): boolean {
    return !this.#started && this.#kickSet && this.size > 0 && this.addresses !== undefined;
  }

  /** Bytes of the used ring, its event field included (VIRTIO 1.3 §2.7); of a packed ring those of
   *  the device's event suppression structure (§2.8.14). */
  usedBytes(packed: boolean): bigint {
    return packed ? 4n : BigInt(6 + 8 * this.size);
  }

  /** Where the dirty log has the used ring; undefined: it is not logged. */
  get usedLogAddress(): bigint | undefined {
    const { addresses } = this;
    const on = addresses !== undefined && (addresses.flags & VHOST_VRING_F_LOG) !== 0;
    return on ? addresses.logAddress : undefined;
  }

  requireStopped(what: string): void {
    if (this.#started) {
      throw new VhostUserError('VRING_STATE', `${what} of vring ${this.index} while it runs`);
    }
  }

  setKick(fd: number | undefined): void {
    this.#replace('kick', fd);
    this.#kickSet = true;
    this.#kickInband = false;
  }

  /** A kick as a message. It starts the vring as SET_VRING_KICK does, whose descriptor or wish to
   *  be polled it does not take back. */
  async kickInband(pool: QueueWorkers): Promise<void> {
    if (this.#started) {
      await pool.kickVring(this.index);
    } else if (!this.#kickSet) {
      this.#kickSet = true;
      this.#kickInband = true;
    }
  }

  async setCall(fd: number | undefined, pool: QueueWorkers): Promise<void> {
    this.#callByMessage = fd === undefined;
    if (this.#started) {
      await pool.setCall(this.index, fd ?? NO_FD);
    } else {
      this.#replace('call', fd);
    }
  }

  async setErr(fd: number | undefined, pool: QueueWorkers): Promise<void> {
    this.#errByMessage = fd === undefined;
    this.#replace('err', fd);
    if (this.#started) {
      await pool.setErr(this.index, this.#errCopy());
    }
  }

  /** A worker's own: the descriptor outlives the run, since QEMU sends it but once. */
  #errCopy(): number {
    return this.#errFd === NO_FD ? NO_FD : check('duplicate err', native.fdDuplicate(this.#errFd));
  }

  /** New addresses. A vring that runs has the same rings before and after: only what is logged of
   *  them may change (vhost-user: "Logging"). */
  async setAddresses(addresses: VringAddr, pool: QueueWorkers): Promise<void> {
    if (this.#started) {
      this.#requireSameRings(addresses);
    }
    this.addresses = addresses;
    if (this.#started) {
      await pool.setUsedLog(this.index, this.usedLogAddress);
    }
  }

  #requireSameRings(next: VringAddr): void {
    const { addresses } = this;
    const same =
      addresses?.descriptorAddress === next.descriptorAddress &&
      addresses.availableAddress === next.availableAddress &&
      addresses.usedAddress === next.usedAddress;
    if (!same) {
      this.requireStopped('addresses');
    }
  }

  async setEnabled(enabled: boolean, pool: QueueWorkers): Promise<void> {
    this.enabled = enabled;
    if (this.#started) {
      await pool.enableVring(this.index, enabled);
    }
  }

  /** Hands the vring to its worker. Throws VhostUserError when the worker can't run it. */
  async start(context: VringContext): Promise<void> {
    const { memory, inflight = NO_INFLIGHT, addressing, inband, pool } = context;
    const { eventIdx, packed, inOrder, readOnly } = context;
    const { addresses } = this;
    if (!this.ready || addresses === undefined) {
      return;
    }
    const errFd = this.#errCopy();
    const [kickFd, callFd] = [this.#kickFd, this.#callFd];
    // From here on the worker owns them, also when it refuses the vring.
    this.#kickFd = this.#callFd = NO_FD;
    this.#kickSet = false;
    this.#started = true;
    const result = await pool.startVring({
      queue: this.index,
      size: this.size,
      descriptorAddress: addresses.descriptorAddress,
      availableAddress: addresses.availableAddress,
      usedAddress: addresses.usedAddress,
      availBase: this.base ?? firstBase(packed),
      eventIdx,
      enabled: this.enabled,
      kickFd,
      callFd,
      errFd,
      memory,
      inflight,
      packed,
      inOrder,
      readOnly,
      addressing,
      inbandKicks: this.#kickInband,
      inbandCalls: inband,
      usedLogAddress: this.usedLogAddress,
    });
    if (result < 0) {
      this.#started = false;
      const code = errnoName(-result) === 'EBADMSG' ? 'INFLIGHT_AREA' : 'VRING_ADDRESS';
      throw new VhostUserError(code, `vring ${this.index}`);
    }
  }

  /** Drains, or suspends what is in flight, and takes the vring back; the base to go on from,
   *  undefined when it never ran. Addresses of a stopped ring are forgotten, so that a later start
   *  can't run on stale ones (CS-119). `beforeEnd` runs when it is drained and still counts as
   *  started. */
  async stop(
    pool: QueueWorkers,
    suspend = false,
    beforeEnd?: () => void,
  ): Promise<number | undefined> {
    if (this.#started) {
      // A session may end while a GET_VRING_BASE still drains: both wait for the same stop.
      this.#stopping ??= pool.stopVring(this.index, suspend);
      const base = await this.#stopping;
      beforeEnd?.();
      this.#stopping = undefined;
      this.#started = false;
      this.base = Math.max(base, 0);
    }
    this.addresses = undefined;
    this.#forgetRun();
    return this.base;
  }

  #forgetRun(): void {
    this.#replace('kick', undefined);
    this.#replace('call', undefined);
    this.#kickSet = this.#callByMessage = false;
  }

  /** Gives up what outlives a stop, too. */
  close(): void {
    this.#forgetRun();
    this.#replace('err', undefined);
    this.#errByMessage = false;
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
