// Requests and their replies over one connection, one exchange after another. The channel has no
// message numbers: a reply belongs to the oldest request, so a second may not begin before the
// first has its reply, however many callers there are.

import { check, native } from '../../native/index.js';
import { Connection, type RawMessage } from '../connection/connection.js';
import {
  encodeFrontendRequest,
  type FrontendRequestName,
  frontendRequest,
  hasFeature,
  type PayloadKind,
  type PayloadOf,
  payloadCodec,
  protocolFeatureNames,
  type ReplyOf,
  type RequestRow,
  replyIsDue,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VhostUserError,
} from '../protocol/index.js';

/** How long a back-end may take to answer; a drain of a busy disk is the longest. */
const REPLY_TIMEOUT_MS = 60_000;

export interface ExchangeOptions {
  /** How long to wait for a reply before the connection is given up. */
  readonly replyTimeoutMs?: number;
}

/** How one exchange departs from its row of the request table. */
export interface MessageOptions {
  readonly fds?: readonly number[];
  /** Sets NEED_REPLY; left out: when REPLY_ACK is negotiated. */
  readonly needReply?: boolean;
  /** Waits for a reply; left out: as the table says. */
  readonly replyDue?: boolean;
}

/**
 * Rejections are VhostUserErrors: PEER_REFUSED (the back-end said no), NOT_NEGOTIATED (not sent),
 * PAYLOAD_SIZE and PAYLOAD_VALUE (a reply without sense), and UNEXPECTED_REPLY, HANDSHAKE_TIMEOUT,
 * PEER_CLOSED and broken framing, after which the connection is closed.
 */
export class VhostUserExchange {
  readonly connection: Connection;
  /** As negotiated by setProtocolFeatures. */
  protocolFeatures = 0n;
  readonly #replyTimeoutMs: number;
  /** Settles with the last exchange under way; undefined when there is none. */
  #last: Promise<void> | undefined;

  /** Takes ownership of a connected, non-blocking socket. */
  constructor(fd: number, { replyTimeoutMs = REPLY_TIMEOUT_MS }: ExchangeOptions = {}) {
    this.connection = new Connection(fd, { messageTimeoutMs: replyTimeoutMs });
    this.#replyTimeoutMs = replyTimeoutMs;
  }

  /** Connects to the socket a back-end listens on; throws SystemError. */
  protected static socketTo(path: string): number {
    return check('connect', native.socketConnect(path));
  }

  /** Any request, negotiated or not; the reply, when one is due. Descriptors of the reply are
   *  closed. Rejects with PEER_REFUSED for a refusal that has no payload of its own. */
  request<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    fds: readonly number[] = [],
  ): Promise<ReplyOf<N>> {
    return this.inTurn(async () => {
      const reply = await this.exchange(name, payload, { fds });
      reply?.fds.close();
      return reply === undefined ? (undefined as ReplyOf<N>) : decodeReply(name, reply);
    });
  }

  /** The next message of the back-end; rejects when the connection has ended. Only between
   *  exchanges, for a caller that sent its own bytes. */
  async receive(): Promise<RawMessage> {
    const message = await this.connection.receive();
    if (message === undefined) {
      throw new VhostUserError('PEER_CLOSED');
    }
    return message;
  }

  /** Bytes as they are, legal or not. */
  sendRaw(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.connection.send(bytes, fds);
  }

  close(): void {
    this.connection.close();
  }

  /** Runs when every exchange begun before has ended; at once when there is none. */
  protected inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#last === undefined ? run() : this.#last.then(run);
    const settled = result.then(
      () => {},
      () => {},
    );
    this.#last = settled;
    void settled.then(() => {
      if (this.#last === settled) {
        this.#last = undefined;
      }
    });
    return result;
  }

  /** A negotiated request whose reply, if any, only says yes or no. */
  protected command<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    options: MessageOptions = {},
  ): Promise<void> {
    return this.inTurn(() => this.commandNow(name, payload, options));
  }

  /** The same for a caller that has the turn. */
  protected async commandNow<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    options: MessageOptions = {},
  ): Promise<void> {
    this.requireNegotiated(name);
    const reply = await this.exchange(name, payload, options);
    reply?.fds.close();
    if (reply !== undefined && decodeAs('u64', name, reply) !== 0n) {
      throw new VhostUserError('PEER_REFUSED', name);
    }
  }

  /** A negotiated request that is always answered; the decoded reply. */
  protected question<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
  ): Promise<ReplyOf<N>> {
    return this.inTurn(async () => {
      const reply = await this.questionNow(name, payload);
      reply.fds.close();
      return decodeReply(name, reply);
    });
  }

  /** The same for a caller that has the turn, decodes the reply and owns its descriptors. */
  protected async questionNow<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    options: MessageOptions = {},
  ): Promise<RawMessage> {
    this.requireNegotiated(name);
    return (await this.exchange(name, payload, { replyDue: true, ...options })) as RawMessage;
  }

  /** Throws NOT_NEGOTIATED: a back-end may answer such a request with silence. */
  protected requireNegotiated(name: FrontendRequestName, more = 0n): void {
    const missing = (frontendRequest(name).needs | more) & ~this.protocolFeatures;
    if (missing !== 0n) {
      throw new VhostUserError(
        'NOT_NEGOTIATED',
        `${name} needs ${protocolFeatureNames(missing).join(', ')}`,
      );
    }
  }

  /** Sends, and waits for the reply when one is due. Only for a caller that has the turn. */
  protected async exchange<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    { fds = [], ...options }: MessageOptions = {},
  ): Promise<RawMessage | undefined> {
    const row = frontendRequest(name) as unknown as RequestRow;
    const needReply =
      options.needReply ?? hasFeature(this.protocolFeatures, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    const due = options.replyDue ?? replyIsDue(row, needReply, this.protocolFeatures);
    const bytes = encodeFrontendRequest(name, payload, { needReply });
    try {
      this.connection.send(bytes, fds);
      return due ? await this.#replyTo(row) : undefined;
    } catch (error) {
      if (error instanceof VhostUserError && error.closesSession) {
        this.connection.close();
      }
      throw error;
    }
  }

  async #replyTo({ id, name }: RequestRow): Promise<RawMessage> {
    const timer = setTimeout(
      () => this.connection.fail(new VhostUserError('HANDSHAKE_TIMEOUT', `no reply to ${name}`)),
      this.#replyTimeoutMs,
    );
    try {
      const reply = await this.receive();
      if (reply.header.request !== id || !reply.header.isReply) {
        reply.fds.close();
        throw new VhostUserError('UNEXPECTED_REPLY', name);
      }
      return reply;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What a reply says, by the request's row; an empty payload where one is due refuses. */
export function decodeReply<N extends FrontendRequestName>(name: N, reply: RawMessage): ReplyOf<N> {
  return decodeAs(frontendRequest(name).reply.payload, name, reply) as ReplyOf<N>;
}

/** The same for a reply whose payload is not the row's. */
export function decodeAs<K extends PayloadKind>(kind: K, name: string, reply: RawMessage) {
  if (reply.payload.byteLength === 0 && kind !== 'none') {
    throw new VhostUserError('PEER_REFUSED', name);
  }
  return payloadCodec(kind).decode(reply.payload);
}
