// One virtqueue of a VhostDevice as its driver's side has it: where it lies, where it goes on, and
// the eventfds between driver and back-end.

import { check, native } from '../../native/index.js';

/** Where a driver has put a virtqueue, by guest address. */
export interface QueueSetup {
  readonly size: number;
  readonly descTableAddress: bigint;
  readonly availRingAddress: bigint;
  readonly usedRingAddress: bigint;
  /** Where to go on; left out: where it last stopped, at first 0. */
  readonly base?: number;
  /** used.idx as memory has it: where to go on when the back-end can't be asked any more. */
  readonly usedIndex?: () => number;
}

export class DeviceQueue {
  /** Of the whole device, not of this VhostDevice's part of it. */
  readonly index: number;
  /** Signalled for used buffers while not masked. */
  readonly callFd = eventfd();
  /** Signalled by the back-end when it has given the vring up. */
  readonly errFd = eventfd();
  /** Takes the signals while masked. */
  readonly maskedFd = eventfd();
  /** Signalled by the driver; there while notifiers are enabled. */
  kickFd: number | undefined;
  masked = true;
  setup: QueueSetup | undefined;
  /** Where the queue goes on. */
  base = 0;

  constructor(index: number) {
    this.index = index;
  }

  /** Tells the back-end that buffers are available; false without notifiers. */
  kick(): boolean {
    if (this.kickFd === undefined) {
      return false;
    }
    native.eventfdSignal(this.kickFd);
    return true;
  }

  enableNotifier(): void {
    this.kickFd ??= eventfd();
  }

  disableNotifier(): void {
    if (this.kickFd !== undefined) {
      native.fdClose(this.kickFd);
      this.kickFd = undefined;
    }
  }

  /** The descriptor the back-end is to signal now. */
  get notifiedFd(): number {
    return this.masked ? this.maskedFd : this.callFd;
  }

  /** True once for signals that came while masked. */
  takePending(): boolean {
    return native.eventfdRead(this.maskedFd) > 0;
  }

  close(): void {
    this.disableNotifier();
    for (const fd of [this.callFd, this.errFd, this.maskedFd]) {
      native.fdClose(fd);
    }
  }
}

function eventfd(): number {
  return check('eventfd', native.eventfdCreate(0));
}
