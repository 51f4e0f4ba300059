// Replies that are more than the payload the table of requests says: what a handler returns then.

import { native } from '../../native/index.js';

/** A whole message, sent whether or not a reply is due: postcopy answers region requests by other
 *  rules than the table's. */
export class ReplyInstead {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** The payload and a descriptor. */
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
