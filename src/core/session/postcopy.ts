// Postcopy migration (vhost-user: POSTCOPY_*): pages of guest memory come from the other host while
// the guest already runs here. The front-end fills them through a userfaultfd of this process, so
// regions it gives meanwhile are used only once it has said that it is ready for their faults.

import { check, errnoName, native } from '../../native/index.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import { frontendRequest, VhostUserError } from '../protocol/index.js';

let supported: boolean | undefined;

/** False where the kernel has no userfaultfd for us: seccomp, vm.unprivileged_userfaultfd. */
export function postcopySupported(): boolean {
  if (supported === undefined) {
    const fd = native.userfaultCreate();
    supported = fd >= 0;
    if (supported) {
      native.fdClose(fd);
    }
  }
  return supported;
}

const NO_FD = -1;
const REGION_REQUESTS: readonly number[] = [
  frontendRequest('SET_MEM_TABLE').id,
  frontendRequest('ADD_MEM_REG').id,
];
const ACK_BYTES = 8;

export interface MaybeAck {
  readonly header: { readonly request: number };
  readonly payload: Uint8Array;
  readonly fds: { readonly count: number };
}

export class Postcopy {
  #fd = NO_FD;
  #listening = false;
  /** Told to the front-end, which has not acknowledged it yet. */
  #staged: GuestMemory | undefined;

  get listening(): boolean {
    return this.#listening;
  }

  get staged(): GuestMemory | undefined {
    return this.#staged;
  }

  /** The userfaultfd for the front-end, still ours. Throws SystemError. */
  advise(): number {
    if (this.#fd !== NO_FD) {
      throw new VhostUserError('SESSION_STATE', 'postcopy was advised before');
    }
    this.#fd = check('userfaultfd', native.userfaultCreate());
    return this.#fd;
  }

  listen(regionCount: number): void {
    if (this.#fd === NO_FD || this.#listening) {
      throw new VhostUserError('SESSION_STATE', 'POSTCOPY_LISTEN belongs behind POSTCOPY_ADVISE');
    }
    if (regionCount > 0) {
      throw new VhostUserError('SESSION_STATE', 'memory is registered already');
    }
    this.#listening = true;
  }

  /** Takes a memory over until it is acknowledged; one that was staged before is let go. */
  stage(memory: GuestMemory): void {
    this.#staged?.release();
    this.#staged = memory;
  }

  /** The front-end's u64 of zero under the id of the region request it acknowledges. */
  isAck({ header, payload, fds }: MaybeAck): boolean {
    return (
      this.#staged !== undefined &&
      REGION_REQUESTS.includes(header.request) &&
      fds.count === 0 &&
      payload.byteLength === ACK_BYTES &&
      payload.every((byte) => byte === 0)
    );
  }

  /** Memory whose faults the front-end serves from now on, the caller's. An acknowledgement has no
   *  answer, so a failure here ends the session. */
  acknowledged(): GuestMemory {
    const memory = this.#staged as GuestMemory;
    const result = native.userfaultRegister(this.#fd, memory.id);
    if (result < 0) {
      throw new VhostUserError('POSTCOPY', errnoName(-result));
    }
    this.#staged = undefined;
    return memory;
  }

  /** False when there was none. Workers that wait for a page of `memory` go on. */
  end(memory: GuestMemory): boolean {
    this.#staged?.release();
    this.#staged = undefined;
    this.#listening = false;
    if (this.#fd === NO_FD) {
      return false;
    }
    // The front-end has a duplicate: only this lets go of threads that wait, closing would not.
    native.userfaultUnregister(this.#fd, memory.id);
    native.fdClose(this.#fd);
    this.#fd = NO_FD;
    return true;
  }
}
