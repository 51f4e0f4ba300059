// One connection: its state, its credit, what it has to say to the guest (VIRTIO 1.3 §5.10.6).
//
// Its two ends live apart: the guest's is over when RST went one way or the other, the host's may
// outlive it for a moment with bytes the host has yet to take.

import type { ByteBudget } from './byte-budget.js';
import { Credit } from './credit.js';
import {
  OP_CREDIT_REQUEST,
  OP_CREDIT_UPDATE,
  OP_REQUEST,
  OP_RESPONSE,
  OP_RST,
  OP_SHUTDOWN,
  SHUTDOWN_BOTH,
  SHUTDOWN_RECEIVE,
  SHUTDOWN_SEND,
  TYPE_SEQPACKET,
} from './format.js';
import type { HostSocket } from './host-socket.js';

// What waits to be told to the guest; the lowest bit goes first.
const TELL_RST = 1;
const TELL_REQUEST = 2;
const TELL_RESPONSE = 4;
const TELL_SHUTDOWN = 8;
const TELL_CREDIT = 16;
const ASK_CREDIT = 32;

export type ConnectionState =
  /** Our REQUEST is on its way or unanswered. */
  | 'requested'
  | 'open'
  /** SHUTDOWN of both directions was sent, RST is due. */
  | 'closing'
  /** Nothing but our RST is left. */
  | 'reset'
  | 'gone';

/** What a connection asks of the device around it. */
export interface ConnectionEvents {
  /** It has something for the guest. */
  ready(connection: Connection): void;
  /** The guest took our REQUEST. */
  accepted(connection: Connection): void;
  /** SHUTDOWN of both directions is out: the guest has so long to answer. */
  closing(connection: Connection): void;
  /** The guest is done, the host's socket still has bytes to take. */
  lingering(connection: Connection): void;
}

export interface ConnectionOptions {
  readonly type: number;
  readonly peerCid: number;
  readonly guestPort: number;
  readonly hostPort: number;
  readonly bufAlloc: number;
  readonly socket: HostSocket;
  readonly events: ConnectionEvents;
  /** What messages on their way to the guest may take of our memory, all together. */
  readonly messages: ByteBudget;
  /** The guest asked for it. */
  readonly fromGuest: boolean;
}

export class Connection {
  readonly type: number;
  readonly peerCid: number;
  readonly guestPort: number;
  readonly hostPort: number;
  readonly credit: Credit;
  readonly socket: HostSocket;
  readonly #events: ConnectionEvents;
  #state: ConnectionState;
  #tell: number;
  /** Directions the guest has ended, and those we told it are over. */
  #guestShutdown = 0;
  #toldShutdown = 0;
  #askedForCredit = false;
  readonly #messages: ByteBudget;
  /** A message on its way to the guest, and how much of it has gone. */
  #message: Uint8Array | undefined;
  #messageSentBytes = 0;
  /** For the list of those that have something for the guest. */
  listed = false;

  constructor(options: ConnectionOptions) {
    this.type = options.type;
    this.peerCid = options.peerCid;
    this.guestPort = options.guestPort;
    this.hostPort = options.hostPort;
    this.credit = new Credit(options.bufAlloc);
    this.socket = options.socket;
    this.#events = options.events;
    this.#messages = options.messages;
    this.#state = options.fromGuest ? 'open' : 'requested';
    this.#tell = options.fromGuest ? TELL_RESPONSE : TELL_REQUEST;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The next packet but data that is due, as op; 0: none. Data goes before SHUTDOWN, and before
   *  CREDIT_UPDATE, which it makes needless. */
  nextControl(): number {
    const due = this.#tell & -this.#tell;
    if (due === 0 || (due >= TELL_SHUTDOWN && this.canSend)) {
      return 0;
    }
    switch (due) {
      case TELL_RST:
        return OP_RST;
      case TELL_REQUEST:
        return OP_REQUEST;
      case TELL_RESPONSE:
        return OP_RESPONSE;
      case TELL_SHUTDOWN:
        return OP_SHUTDOWN;
      case TELL_CREDIT:
        return OP_CREDIT_UPDATE;
      default:
        return OP_CREDIT_REQUEST;
    }
  }

  /** The packet nextControl() named is about to be written; its flags. */
  controlSent(): number {
    const due = this.#tell & -this.#tell;
    this.#tell &= ~due;
    if (due === TELL_RST) {
      this.#state = 'gone';
    }
    if (due !== TELL_SHUTDOWN) {
      return 0;
    }
    if (this.#toldShutdown === SHUTDOWN_BOTH && this.#state === 'open') {
      this.#state = 'closing';
      this.#events.closing(this);
    }
    return this.#toldShutdown;
  }

  /** There may be bytes of the host's that the guest has room for. */
  get canSend(): boolean {
    return (
      this.#state === 'open' &&
      (this.socket.readable || this.#message !== undefined) &&
      (this.#guestShutdown & SHUTDOWN_RECEIVE) === 0 &&
      this.credit.sendable > 0
    );
  }

  get hasWork(): boolean {
    return this.#tell !== 0 || this.canSend;
  }

  /** Payload went; every packet carries our count. */
  dataSent(bytes: number): void {
    this.credit.sent(bytes);
    this.#tell &= ~TELL_CREDIT;
    this.#creditLooked();
  }

  /** What the guest has yet to get of a message that was taken off the socket. */
  get messageRest(): Uint8Array | undefined {
    return this.#message?.subarray(this.#messageSentBytes);
  }

  /** Keeps a message that the guest has no room for at once. */
  keepMessage(message: Uint8Array): void {
    if (this.#messages.take(message.byteLength)) {
      this.#message = message;
    } else {
      this.reset();
    }
  }

  /** Part of what was kept went, or the last of it. */
  messageSent(bytes: number, last: boolean): void {
    this.#messageSentBytes += bytes;
    if (last) {
      this.#dropMessage();
      this.socket.messageSent();
    }
    this.dataSent(bytes);
  }

  #dropMessage(): void {
    this.#messages.give(this.#message?.byteLength ?? 0);
    this.#message = undefined;
    this.#messageSentBytes = 0;
  }

  /** The host's socket became readable or writable, or both its directions are over. */
  hostEvent(hungUp: boolean): void {
    const { socket } = this;
    if (hungUp) {
      socket.hungUp();
    }
    if (!socket.refuses) {
      this.#forwarded(hungUp ? socket.refuse() : socket.flush());
    }
    if (hungUp && this.#state === 'requested') {
      // Nobody waits for the guest's answer any more.
      this.reset();
      return;
    }
    socket.readable = !socket.ended;
    if (socket.ended && hungUp) {
      this.hostEnded();
    }
    this.#offer();
  }

  /** The socket has been read to its end. */
  hostEnded(): void {
    if (!this.socket.refuses && this.socket.left) {
      // Both directions in one packet: a guest that knows the end of one expects to be refused.
      this.#forwarded(this.socket.refuse());
    }
    this.#shutdown(this.socket.refuses ? SHUTDOWN_BOTH : SHUTDOWN_SEND);
  }

  // Packets of the guest's. Its credit fields have been looked at.

  creditHeard(bufAlloc: number, forwarded: number): void {
    this.credit.heard(bufAlloc, forwarded);
    this.#creditLooked();
    this.#offer();
  }

  response(): void {
    if (this.#state !== 'requested') {
      this.reset();
      return;
    }
    this.#state = 'open';
    this.#events.accepted(this);
    this.#offer();
  }

  data(chain: number, bytes: number, flags: number): void {
    const open = this.#state === 'open' || this.#state === 'closing';
    // VS-013, VS-014, VS-020.
    if (!open || (this.#guestShutdown & SHUTDOWN_SEND) !== 0 || !this.credit.receive(bytes)) {
      this.reset();
      return;
    }
    const held = this.socket.waitingBytes;
    if (this.socket.send(chain, bytes, flags) === 'no-room') {
      this.reset();
      return;
    }
    // What was thrown away counts as taken.
    this.credit.forward(held + bytes - this.socket.waitingBytes);
    if (this.socket.refuses) {
      this.#shutdown(SHUTDOWN_RECEIVE);
    }
    this.#creditDue();
  }

  /** The host took some of what waited, or all of it was thrown away. */
  #forwarded(bytes: number): void {
    if (bytes > 0) {
      this.credit.forward(bytes);
      this.#creditDue();
    }
    if (this.socket.refuses) {
      this.#shutdown(SHUTDOWN_RECEIVE);
    }
  }

  creditRequested(): void {
    this.#say(TELL_CREDIT);
  }

  shutdown(flags: number): void {
    if (this.#state === 'requested') {
      this.reset();
      return;
    }
    const news = flags & SHUTDOWN_BOTH & ~this.#guestShutdown;
    this.#guestShutdown |= news;
    if (this.#guestShutdown === SHUTDOWN_BOTH) {
      this.#finish();
      return;
    }
    if ((news & SHUTDOWN_SEND) !== 0) {
      this.socket.endWriting();
    }
    if ((news & SHUTDOWN_RECEIVE) !== 0) {
      this.socket.endReading();
      this.#dropMessage();
    }
  }

  /** The guest is through with both directions: RST frees its port. */
  #finish(): void {
    this.#toReset();
    if (this.socket.waitingBytes > 0) {
      this.socket.endWriting();
      this.#events.lingering(this);
    } else {
      this.socket.close(false);
    }
  }

  /** Something is wrong: both ends hear of it at once. */
  reset(): void {
    const aborted = this.#state !== 'closing';
    this.#toReset();
    this.socket.close(aborted);
  }

  /** The guest's end is over without a word of ours. */
  forget(): void {
    const aborted = this.#state !== 'closing';
    this.#state = 'gone';
    this.#tell = 0;
    this.#dropMessage();
    this.socket.close(aborted);
  }

  #toReset(): void {
    if (this.#state === 'gone') {
      return;
    }
    // A guest that has not seen our REQUEST needs no RST.
    const unseen = (this.#tell & TELL_REQUEST) !== 0;
    this.#state = unseen ? 'gone' : 'reset';
    this.#tell = 0;
    this.#dropMessage();
    if (!unseen) {
      this.#say(TELL_RST);
    }
  }

  #shutdown(flags: number): void {
    if (this.#state === 'requested') {
      this.reset();
      return;
    }
    if (this.#state === 'open' && (flags & ~this.#toldShutdown) !== 0) {
      this.#toldShutdown |= flags;
      this.#say(TELL_SHUTDOWN);
    }
  }

  /** Asks once for each time that credit runs out with bytes to send. */
  #creditLooked(): void {
    if (this.credit.sendable > 0) {
      this.#askedForCredit = false;
      this.#tell &= ~ASK_CREDIT;
    } else if (!this.#askedForCredit && this.socket.readable && this.#state === 'open') {
      this.#askedForCredit = true;
      this.#say(ASK_CREDIT);
    }
  }

  #creditDue(): void {
    if (this.#state === 'open' && this.credit.updateDue(this.type === TYPE_SEQPACKET)) {
      this.#say(TELL_CREDIT);
    }
  }

  #say(what: number): void {
    this.#tell |= what;
    this.#events.ready(this);
  }

  #offer(): void {
    if (this.canSend) {
      this.#events.ready(this);
    } else {
      this.#creditLooked();
    }
  }
}
