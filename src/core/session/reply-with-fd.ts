// A reply that carries a descriptor: what a handler returns instead of the bare payload.

import { native } from '../../native/index.js';

export class ReplyWithFd<P> {
  readonly payload: P;
  readonly #fd: number;

  /** Owns the descriptor until the reply is sent. */
  constructor(payload: P, fd: number) {
    this.payload = payload;
    this.#fd = fd;
  }

  /** Closes the descriptor, sent or not. */
  send(send: (fds: readonly number[]) => void): void {
    try {
      send([this.#fd]);
    } finally {
      native.fdClose(this.#fd);
    }
  }
}
