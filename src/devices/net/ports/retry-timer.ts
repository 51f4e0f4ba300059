// A timer in a worker, where Node's do not run: tries something again until it works.

import type { HandlerContext } from '../../../core/device.js';
import { native } from '../../../native/index.js';

/** A peer that is started again is back before anybody wonders; one that stays away costs two
 *  system calls each time. */
const RETRY_MS = 500;

export class RetryTimer {
  readonly #context: HandlerContext;
  readonly #token: number;
  #fd: number | undefined;

  constructor(context: HandlerContext, token: number) {
    this.#context = context;
    this.#token = token;
  }

  get running(): boolean {
    return this.#fd !== undefined;
  }

  /** Events with the token, until stopped. */
  start(): void {
    if (this.#fd === undefined) {
      this.#fd = native.timerCreate();
      native.timerArm(this.#fd, RETRY_MS, RETRY_MS);
      this.#context.watch(this.#fd, this.#token);
    }
  }

  stop(): void {
    if (this.#fd !== undefined) {
      this.#context.unwatch(this.#token);
      native.fdClose(this.#fd);
      this.#fd = undefined;
    }
  }
}
