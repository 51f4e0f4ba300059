// The channel SET_BACKEND_REQ_FD gives: requests from us to the front-end. Nothing waits for it:
// QEMU serves it in the thread that may just be waiting for our reply on the main channel.

import { Connection } from '../connection/connection.js';
import type { Log } from '../log.js';
import {
  encodeBackendRequest,
  IOTLB_TYPE_ACCESS_FAIL,
  IOTLB_TYPE_MISS,
} from '../protocol/index.js';

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
    this.#send(encodeBackendRequest('CONFIG_CHANGE_MSG', undefined, { needReply: false }));
  }

  /** vhost-user: IOTLB_MSG of the back-end: there is no translation for that access. */
  iotlbMiss(iova: bigint, perm: number): void {
    this.#iotlb(iova, perm, IOTLB_TYPE_MISS);
  }

  /** The same: there is one, and it forbids the access. */
  iotlbAccessFail(iova: bigint, perm: number): void {
    this.#iotlb(iova, perm, IOTLB_TYPE_ACCESS_FAIL);
  }

  close(): void {
    this.#connection.close();
  }

  #iotlb(iova: bigint, perm: number, type: number): void {
    const message = { iova, sizeBytes: 0n, userAddress: 0n, perm, type };
    this.#send(encodeBackendRequest('IOTLB_MSG', message, { needReply: false }));
  }

  #send(message: Uint8Array): void {
    try {
      this.#connection.send(message);
    } catch (error) {
      this.#log.warn({ error: String(error) }, 'back-end channel lost');
      this.close();
    }
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
