// The channel SET_BACKEND_REQ_FD gives: requests from us to the front-end, answered in order. The
// main channel never waits for it: QEMU serves it in the thread that may just be waiting for our
// reply there.

import { Connection, type RawMessage } from '../connection/connection.js';
import type { Log } from '../log.js';
import {
  type BackendPayloadOf,
  type BackendRequestName,
  backendRequest,
  checkReplyHeader,
  encodeBackendRequest,
  hasFeature,
  payloadCodec,
  type RequestRow,
  SUCCESS,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VhostUserError,
} from '../protocol/index.js';

/** A front-end may be paused or busy with a migration, but not for ever: QEMU answers from its main
 *  loop within milliseconds. */
const REPLY_TIMEOUT_MS = 10_000;
/** Requests without their answer: a call for each of 256 vrings and as many of the device's. */
export const OUTSTANDING_MAX = 512;

export interface BackendChannelOptions {
  readonly log: Log;
  readonly replyTimeoutMs?: number;
}

export interface BackendRequestOptions {
  readonly protocolFeatures: bigint;
  /** Borrowed: sent before `request` returns. */
  readonly fds?: readonly number[];
  /** False: the answer is of no use, so none is asked for where the protocol lets us choose. */
  readonly acknowledged?: boolean;
}

interface Outstanding {
  readonly row: RequestRow;
  readonly timer: NodeJS.Timeout;
  resolve(fd: number | undefined): void;
  reject(error: VhostUserError): void;
  /** Nobody waits any more, so nobody would take a descriptor. */
  expired: boolean;
}

export class BackendChannel {
  readonly #connection: Connection;
  readonly #log: Log;
  readonly #replyTimeoutMs: number;
  /** In the order of their replies. One whose time is over stays, so that a late reply is not taken
   *  for that to its successor. */
  readonly #outstanding: Outstanding[] = [];

  /** Takes ownership of a non-blocking socket. */
  constructor(fd: number, { log, replyTimeoutMs = REPLY_TIMEOUT_MS }: BackendChannelOptions) {
    this.#connection = new Connection(fd);
    this.#log = log;
    this.#replyTimeoutMs = replyTimeoutMs;
    void this.#receiveReplies();
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  /** Sends now. Resolves with the reply's descriptor, the caller's from then on, or undefined; at
   *  once when no reply is due. Rejects with a VhostUserError that does not close the session. */
  async request<N extends BackendRequestName>(
    name: N,
    payload: BackendPayloadOf<N>,
    { protocolFeatures, fds = [], acknowledged = true }: BackendRequestOptions,
  ): Promise<number | undefined> {
    const row = backendRequest(name) as unknown as RequestRow;
    const hasAck = hasFeature(protocolFeatures, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    const needReply = acknowledged && hasAck;
    const replyDue = needReply || row.reply.when === 'always';
    if (this.closed) {
      throw new VhostUserError('CHANNEL_LOST', name);
    }
    if (replyDue && this.#outstanding.length >= OUTSTANDING_MAX) {
      throw new VhostUserError('CHANNEL_FULL', name);
    }
    const message = encodeBackendRequest(name, payload, { needReply });
    try {
      this.#connection.send(message, fds);
    } catch (error) {
      this.#lose(error);
      throw new VhostUserError('CHANNEL_LOST', name, { cause: error });
    }
    return replyDue ? await this.#reply(row) : undefined;
  }

  /** Whoever waits for an answer is told that none comes. */
  close(): void {
    this.#connection.close();
    for (const { row, timer, reject } of this.#outstanding.splice(0)) {
      clearTimeout(timer);
      reject(new VhostUserError('CHANNEL_LOST', row.name));
    }
  }

  #reply(row: RequestRow): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        entry.expired = true;
        reject(new VhostUserError('CHANNEL_TIMEOUT', row.name));
      }, this.#replyTimeoutMs);
      const entry: Outstanding = { row, timer, resolve, reject, expired: false };
      this.#outstanding.push(entry);
    });
  }

  async #receiveReplies(): Promise<void> {
    try {
      for (;;) {
        const message = await this.#connection.receive();
        if (message === undefined) {
          break;
        }
        try {
          this.#take(message);
        } finally {
          message.fds.close();
        }
      }
    } catch (error) {
      this.#lose(error);
    }
    this.close();
  }

  /** A reply nobody asked for is dropped; one that does not fit what was asked ends the channel. */
  #take({ header, payload, fds }: RawMessage): void {
    const [next] = this.#outstanding;
    checkReplyHeader(header, next?.row.id ?? header.request);
    if (next === undefined) {
      return;
    }
    const { row, timer } = next;
    const value = payloadCodec('u64').decode(payload);
    const fdsMax = value === SUCCESS ? row.reply.fds.max : 0;
    if (fds.count > fdsMax) {
      throw new VhostUserError('FD_COUNT', `${row.name} was answered with ${fds.count}`);
    }
    this.#outstanding.shift();
    clearTimeout(timer);
    if (next.expired) {
      this.#log.debug({ request: row.name }, 'late answer on the back-end channel');
    } else if (value !== SUCCESS) {
      next.reject(new VhostUserError('PEER_REFUSED', row.name));
    } else {
      next.resolve(fds.count > 0 ? fds.take() : undefined);
    }
  }

  #lose(error: unknown): void {
    if (!this.closed) {
      this.#log.warn({ error: String(error) }, 'back-end channel lost');
      this.close();
    }
  }
}
