// One transfer of device state (vhost-user: SET_DEVICE_STATE_FD). It goes on while the main channel
// is served; CHECK_DEVICE_STATE asks how it ended.

import { native } from '../../native/index.js';

export class StateTransfer {
  /** Never rejects: the error the transfer ended with, or undefined. */
  readonly ended: Promise<unknown>;
  #running = true;

  /** Owns the descriptor: it is closed before `ended` resolves, which is how a reader of saved
   *  state learns of its end. */
  constructor(fd: number, run: (fd: number) => Promise<void>) {
    this.ended = this.#run(fd, run);
  }

  get running(): boolean {
    return this.#running;
  }

  async #run(fd: number, run: (fd: number) => Promise<void>): Promise<unknown> {
    try {
      await run(fd);
      return undefined;
    } catch (error) {
      return error ?? new Error('the transfer failed');
    } finally {
      native.fdClose(fd);
      this.#running = false;
    }
  }
}
