// The channel SET_BACKEND_REQ_FD gives: requests from us to the front-end. Nothing waits for it:
// QEMU serves it in the thread that may just be waiting for our reply on the main channel.

import { Connection } from '../connection/connection.js';
import type { Log } from '../log.js';
import { encodeBackendRequest } from '../protocol/index.js';

export class BackendChannel {
  readonly #connection: Connection;
  readonly #log: Log;

  /** Takes ownership of a non-blocking socket. */
  constructor(fd: number, log: Log) {
    this.#connection = new Connection(fd);
    this.#log = log;
    void this.#discardReplies();
  }

  /** vhost-user: BACKEND_CONFIG_CHANGE_MSG, without NEED_REPLY. */
  configChanged(): void {
    try {
      this.#connection.send(
        encodeBackendRequest('CONFIG_CHANGE_MSG', undefined, { needReply: false }),
      );
    } catch (error) {
      this.#log.warn({ error: String(error) }, 'back-end channel lost');
      this.close();
    }
  }

  close(): void {
    this.#connection.close();
  }

  /** We ask for no reply, so whatever comes is of no use; read, it can't fill the socket. */
  async #discardReplies(): Promise<void> {
    try {
      for (;;) {
        const message = await this.#connection.receive();
        if (message === undefined) {
          break;
        }
        message.fds.close();
      }
    } catch {
      // Broken or closed: either way the channel is over.
    }
    this.#connection.close();
  }
}
