// All connections of one guest: who exists, who has something to say, what wakes whom.

import type { HandlerContext } from '../../core/device.js';
import { native } from '../../native/index.js';
import { BacklogPool } from './backlog.js';
import { ByteBudget } from './byte-budget.js';
import { Connection, type ConnectionEvents } from './connection.js';
import { ConnectionTable } from './connection-table.js';
import { Deadlines } from './deadlines.js';
import { HOST_CID, TYPE_SEQPACKET, TYPE_STREAM } from './format.js';
import type { Cancel, GuestRequest, HostConnections, HostLink } from './host-end.js';
import { HostEnds, type HostEndsOptions } from './host-ends.js';
import { HostSocket } from './host-socket.js';
import { ReadyList } from './ready-list.js';
import { Refusals } from './refusals.js';

/** As many as one guest may have (VS-011): three times what anybody has asked for, and half of the
 *  descriptors a worker can watch. */
export const CONNECTIONS_MAX = 32_768;
/** How many may make us hold something: 256 MiB with buffers of 256 KiB, in twice the memory. */
const BACKLOGS_MAX = 1024;
/** Of messages for the guest that it has no room for at once: hundreds of the largest. */
const MESSAGES_BYTES_MAX = 64 << 20;
/** The guest's answer to REQUEST, and its RST after SHUTDOWN, as long as Firecracker waits. */
const ANSWER_LIMIT_MS = 2000;
/** For the host to take the rest after the guest has left. */
const LINGER_LIMIT_MS = 10_000;
/** Tokens of the data plane; one is used again only after all others. */
const TOKENS = 2 ** 24;

type Event = (hungUp: boolean) => void;

export interface ConnectionsOptions extends HostEndsOptions {
  /** What each connection may make us hold. */
  readonly bufferBytes: number;
}

/** The guest has asked, and its end of the host's has not answered. */
interface Asked extends GuestRequest {
  readonly cancel: Cancel;
}

export class Connections implements ConnectionEvents, HostConnections {
  readonly table = new ConnectionTable<Connection>(CONNECTIONS_MAX);
  readonly #asked = new ConnectionTable<Asked>(CONNECTIONS_MAX);
  readonly refusals = new Refusals();
  readonly list = new ReadyList();
  readonly #context: HandlerContext;
  readonly #guestCid: number;
  readonly #bufferBytes: number;
  readonly #pool: BacklogPool;
  readonly #messages = new ByteBudget(MESSAGES_BYTES_MAX);
  readonly #deadlines: Deadlines;
  readonly #ends: HostEnds;
  readonly #events = new Map<number, Event>();
  readonly #established = new Map<Connection, (hostPort: number) => void>();
  /** Sockets whose guest has left. */
  readonly #lingering = new Set<HostSocket>();
  #nextToken = 0;
  #stream = false;
  #seqpacket = false;

  constructor(context: HandlerContext, options: ConnectionsOptions, changed: () => void) {
    const { guestCid, bufferBytes } = options;
    this.#context = context;
    this.#guestCid = guestCid;
    this.#bufferBytes = bufferBytes;
    this.#pool = new BacklogPool(bufferBytes, BACKLOGS_MAX);
    const timer = this.#token(() => {
      this.#deadlines.tick();
      changed();
    });
    this.#deadlines = new Deadlines(context, timer);
    this.#ends = new HostEnds(options, this);
  }

  /** The types of socket the driver knows. */
  allow(stream: boolean, seqpacket: boolean): void {
    this.#stream = stream;
    this.#seqpacket = seqpacket;
  }

  allows(type: number): boolean {
    return (type === TYPE_STREAM && this.#stream) || (type === TYPE_SEQPACKET && this.#seqpacket);
  }

  /** The guest may talk to this CID. */
  reaches(cid: number): boolean {
    return cid === HOST_CID || this.#ends.hasSibling(cid);
  }

  event(token: number, hungUp: boolean): void {
    this.#events.get(token)?.(hungUp);
  }

  /** The guest asks for a port of the host's: RESPONSE or RST goes to it, at once or later. */
  request(request: GuestRequest, peerBufAlloc: number, peerForwarded: number): void {
    if (this.#full) {
      this.#refuse(request);
      return;
    }
    const cancel = this.#ends.connect(request, (link) => {
      this.#asked.delete(request);
      const made = link === undefined ? undefined : this.#made(request, link, true);
      if (made === undefined) {
        this.#refuse(request);
      } else {
        made.creditHeard(peerBufAlloc, peerForwarded);
      }
    });
    if (cancel !== undefined) {
      this.#asked.add({ ...request, cancel });
    }
  }

  /** The guest has asked for it, and is not answered yet. */
  asked(peerCid: number, guestPort: number, hostPort: number): boolean {
    return this.#asked.find(peerCid, guestPort, hostPort) !== undefined;
  }

  /** A packet of no connection: if it belongs to a request, that has failed. */
  withdraw(peerCid: number, guestPort: number, hostPort: number): void {
    const asked = this.#asked.find(peerCid, guestPort, hostPort);
    if (asked !== undefined) {
      this.#asked.delete(asked);
      asked.cancel();
    }
  }

  /** Where a name of the host's leads to. */
  addresses(host: string, addresses: readonly string[]): void {
    this.#ends.addresses(host, addresses);
  }

  // HostConnections

  open(
    link: HostLink,
    type: number,
    guestPort: number,
    established: (hostPort: number) => void,
  ): void {
    if (this.#full || !this.allows(type)) {
      discard(link);
      return;
    }
    const { cid: peerCid = HOST_CID, port: hostPort = this.table.freePort(guestPort) } =
      link.peer ?? {};
    const connection = this.#made({ type, peerCid, guestPort, hostPort }, link, false);
    if (connection === undefined) {
      return;
    }
    this.#established.set(connection, established);
    this.after(ANSWER_LIMIT_MS, () => {
      if (connection.state === 'requested') {
        this.end(connection);
      }
    });
  }

  watch(fd: number, event: Event, writable = false): number {
    const token = this.#token(event);
    this.#context.watch(fd, token, writable);
    return token;
  }

  unwatch(token: number): void {
    this.#events.delete(token);
    this.#context.unwatch(token);
  }

  after(limitMs: number, expire: () => void): void {
    this.#deadlines.add(limitMs, expire);
  }

  // ConnectionEvents

  ready(connection: Connection): void {
    this.list.push(connection);
  }

  accepted(connection: Connection): void {
    this.#established.get(connection)?.(connection.hostPort);
    this.#established.delete(connection);
  }

  closing(connection: Connection): void {
    this.after(ANSWER_LIMIT_MS, () => {
      if (connection.state === 'closing') {
        this.end(connection);
      }
    });
  }

  lingering({ socket }: Connection): void {
    this.#lingering.add(socket);
    this.after(LINGER_LIMIT_MS, () => {
      if (this.#lingering.delete(socket)) {
        this.#close(socket);
      }
    });
  }

  /** RST to the guest, the host's end closed. */
  end(connection: Connection): void {
    connection.reset();
    this.settle(connection);
  }

  /** Takes note of what a packet, an event or a time limit has made of a connection. */
  settle(connection: Connection): void {
    const { socket, state } = connection;
    if (socket.closed) {
      this.#events.delete(socket.token);
    }
    if (state === 'gone' || state === 'reset') {
      this.#established.delete(connection);
    }
    if (
      state === 'gone' &&
      this.table.find(connection.peerCid, connection.guestPort, connection.hostPort) === connection
    ) {
      this.table.delete(connection);
    }
  }

  /** The driver is another, or gone: nobody knows our connections any more. */
  dropAll(): void {
    for (const connection of [...this.table.all()]) {
      connection.forget();
      this.settle(connection);
    }
    for (const asked of this.#asked.all()) {
      asked.cancel();
    }
    this.#asked.clear();
    for (const socket of this.#lingering) {
      this.#close(socket);
    }
    this.#lingering.clear();
    this.refusals.clear();
  }

  close(): void {
    this.dropAll();
    this.#ends.close();
    this.#deadlines.close();
  }

  get #full(): boolean {
    return this.table.size + this.#asked.size >= CONNECTIONS_MAX;
  }

  #refuse({ type, peerCid, guestPort, hostPort }: GuestRequest): void {
    this.refusals.push(this.#guestCid, 0, peerCid, 0, guestPort, hostPort, type);
  }

  /** A connection, unless its ports have been taken meanwhile. */
  #made(request: GuestRequest, link: HostLink, fromGuest: boolean): Connection | undefined {
    const { peerCid, guestPort, hostPort } = request;
    const live = this.table.find(peerCid, guestPort, hostPort);
    if (live !== undefined || this.asked(peerCid, guestPort, hostPort)) {
      discard(link);
      return undefined;
    }
    return this.#create(link, request, fromGuest);
  }

  #create(link: HostLink, request: GuestRequest, fromGuest: boolean): Connection | undefined {
    const { type } = request;
    const { fd } = link;
    const messages = type === TYPE_SEQPACKET;
    if (messages) {
      // A message goes in one piece or not at all.
      native.hostSetSendBytes(fd, 2 * this.#bufferBytes);
    }
    const token = this.#token((hungUp) => this.#hostEvent(connection, hungUp));
    const socket = new HostSocket(this.#context, this.#pool, link, token, messages);
    const connection: Connection = new Connection({
      ...request,
      bufAlloc: this.#bufferBytes,
      socket,
      events: this,
      messages: this.#messages,
      fromGuest,
    });
    try {
      this.#context.watch(fd, token);
    } catch {
      // As many descriptors as can be watched are.
      this.#events.delete(token);
      discard(link);
      return undefined;
    }
    this.table.add(connection);
    this.list.push(connection);
    return connection;
  }

  #hostEvent(connection: Connection, hungUp: boolean): void {
    const { socket } = connection;
    if (this.#lingering.has(socket)) {
      socket.flush();
      if (hungUp || socket.waitingBytes === 0) {
        this.#lingering.delete(socket);
        this.#close(socket);
      }
      return;
    }
    connection.hostEvent(hungUp);
    this.settle(connection);
  }

  #close(socket: HostSocket): void {
    socket.close(socket.waitingBytes > 0);
    this.#events.delete(socket.token);
  }

  #token(event: Event): number {
    while (this.#events.has(this.#nextToken)) {
      this.#nextToken = (this.#nextToken + 1) % TOKENS;
    }
    const token = this.#nextToken;
    this.#nextToken = (this.#nextToken + 1) % TOKENS;
    this.#events.set(token, event);
    return token;
  }
}

/** A link nobody has use for. */
function discard({ fd, ended }: HostLink): void {
  native.fdClose(fd);
  ended?.(true);
}
