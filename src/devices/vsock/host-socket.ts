// The host's side of a connection: one socket, what it did not take yet, what it has to say.

import { constants } from 'node:os';
import type { HandlerContext } from '../../core/device.js';
import { FLAG_SOCKET, OP_SEND } from '../../core/virtqueue/operations.js';
import { native } from '../../native/index.js';
import { Backlog, type BacklogPool } from './backlog.js';
import { HEADER_BYTES, SEQ_EOM, SEQ_EOR, TYPE_STREAM, WORD_LENGTH } from './format.js';
import type { HostLink } from './host-end.js';
import type { ReceiveBuffers } from './receive-buffers.js';

export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;
/** The host's type of socket for one of the guest's. */
export function socketType(type: number): number {
  return type === TYPE_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;
}

const SHUT_RD = 0;
const SHUT_WR = 1;
const SHUT_RDWR = 2;

const EAGAIN = -constants.errno.EAGAIN;
const EMSGSIZE = -constants.errno.EMSGSIZE;

/** Whole messages that wait for a socket, and those that were cut short by an empty one: tiny ones
 *  cost credit of a byte each, empty ones none. */
const MESSAGES_MAX = 1024;

const NOTHING = new Uint8Array(0);

/** What became of bytes for the host. */
export type Sent = 'sent' | 'kept' | 'refused' | 'no-room';

export class HostSocket {
  readonly fd: number;
  readonly token: number;
  /** There may be something to read. */
  readable = true;
  /** Nothing more comes from the host. */
  ended = false;
  /** The host takes nothing any more: what comes for it is thrown away. */
  refuses = false;
  readonly #link: HostLink;
  readonly #context: HandlerContext;
  readonly #backlog: Backlog;
  readonly #keepsMessages: boolean;
  /** A UNIX socket drops MSG_EOR. Between two guests an empty message, of which Linux sends none
   *  and others' are left out, says that the next one ends a record. */
  readonly #marksRecords: boolean;
  /** The next message from the host's side ends one. */
  #endsRecord = false;
  /** Lengths of whole messages in the backlog, the first to go first. */
  #messages: number[] = [];
  /** Bytes at the end of the backlog whose message is not whole. */
  #partBytes = 0;
  #writeWatched = false;
  #endAfterFlush = false;
  #closed = false;

  constructor(
    context: HandlerContext,
    pool: BacklogPool,
    link: HostLink,
    token: number,
    keepsMessages: boolean,
  ) {
    this.#context = context;
    this.#backlog = new Backlog(pool);
    this.#link = link;
    this.fd = link.fd;
    this.token = token;
    this.#keepsMessages = keepsMessages;
    this.#marksRecords = keepsMessages && link.sibling === true;
  }

  /** Bytes that wait for the socket. */
  get waitingBytes(): number {
    return this.#backlog.bytes;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The payload of a packet, of which the socket takes what it can; `flags` of messages. */
  send(chain: number, bytes: number, flags: number): Sent {
    if (this.refuses) {
      return 'refused';
    }
    const endOfMessage = this.#keepsMessages && (flags & SEQ_EOM) !== 0;
    if (this.#marksRecords && endOfMessage) {
      if (bytes + this.#partBytes === 0) {
        // It would be taken for a mark.
        return 'sent';
      }
      if ((flags & SEQ_EOR) !== 0 && !this.#mark()) {
        return 'no-room';
      }
    }
    if (this.#backlog.bytes > 0 || this.#messages.length > 0) {
      return this.#keep(chain, 0, bytes, endOfMessage);
    }
    if (this.#keepsMessages && !endOfMessage) {
      return this.#keep(chain, 0, bytes, false);
    }
    const sent = this.#context.move(OP_SEND, chain, FLAG_SOCKET, this.fd, bytes, HEADER_BYTES);
    if (sent === bytes) {
      return 'sent';
    }
    if (sent < 0 && sent !== EAGAIN) {
      this.refuse();
      return 'refused';
    }
    return this.#keep(chain, Math.max(sent, 0), bytes, endOfMessage);
  }

  /** Ahead of the message whose end has come. */
  #mark(): boolean {
    if (this.#messages.length >= MESSAGES_MAX) {
      return false;
    }
    if (this.waitingBytes + this.#messages.length > 0 || !this.#sendMark()) {
      this.#messages.push(0);
    }
    return true;
  }

  /** False when the socket is full; any other trouble is the message's to find. */
  #sendMark(): boolean {
    return native.hostSend(this.fd, NOTHING, 0, 0) !== EAGAIN;
  }

  #keep(chain: number, from: number, bytes: number, endOfMessage: boolean): Sent {
    const rest = bytes - from;
    const room = rest === 0 ? undefined : this.#backlog.append(rest);
    if ((rest > 0 && room === undefined) || this.#messages.length >= MESSAGES_MAX) {
      return 'no-room';
    }
    if (room !== undefined) {
      this.#context.copyOut(chain, HEADER_BYTES + from, room, rest);
    }
    if (this.#keepsMessages) {
      this.#partBytes += rest;
      if (endOfMessage) {
        this.#messages.push(this.#partBytes);
        this.#partBytes = 0;
        this.flush();
      }
    } else {
      this.#watchWrites(true);
    }
    return 'kept';
  }

  /** Sends what waits, as far as it goes; the bytes that went. */
  flush(): number {
    let total = 0;
    for (;;) {
      const bytes = this.#keepsMessages ? this.#messages[0] : this.#backlog.bytes;
      if (bytes === undefined || (!this.#keepsMessages && bytes === 0)) {
        break;
      }
      const { buffer, head } = this.#backlog;
      const sent = native.hostSend(this.fd, buffer, head, bytes);
      if (sent < 0) {
        if (sent !== EAGAIN) {
          total += this.refuse();
        }
        break;
      }
      if (this.#keepsMessages) {
        this.#messages.shift();
      }
      this.#backlog.shift(sent);
      total += sent;
    }
    const more = this.#keepsMessages ? this.#messages.length > 0 : this.#backlog.bytes > 0;
    this.#watchWrites(more);
    if (!more && this.#endAfterFlush) {
      this.#endWriting();
    }
    return total;
  }

  /** The host is gone or does not listen; the bytes that are thrown away. */
  refuse(): number {
    const { bytes } = this.#backlog;
    this.refuses = true;
    this.#backlog.clear();
    this.#messages = [];
    this.#partBytes = 0;
    this.#watchWrites(false);
    return bytes;
  }

  /** Straight into the first `count` buffers, behind their headers: bytes, 0 at the end, or
   *  undefined: nothing now. */
  receive(
    buffers: ReceiveBuffers,
    count: number,
    bytes: number,
    header: Uint8Array,
  ): number | undefined {
    return this.#received(this.#scattered(buffers, count, bytes, header, false));
  }

  /** The length of the next message, which stays where it is; 0 at the end, undefined: none now. */
  nextMessageBytes(): number | undefined {
    let bytes = this.#peek();
    if (bytes === 0 && this.#marksRecords && !this.#endsRecord) {
      native.hostReceive(this.fd, NOTHING, 0, 0, false);
      this.#endsRecord = true;
      bytes = this.#peek();
    }
    return this.#received(bytes);
  }

  #peek(): number {
    return native.hostReceive(this.fd, NOTHING, 0, 0, true);
  }

  /** Of the last packet of the message that was looked at. */
  get endFlags(): number {
    return this.#endsRecord ? SEQ_EOM | SEQ_EOR : SEQ_EOM;
  }

  /** That packet has gone. */
  messageSent(): void {
    this.#endsRecord = false;
  }

  /** The next message, of so many bytes, straight into the first `count` buffers; false: they take
   *  it only part by part, and nothing has happened. */
  receiveMessage(
    buffers: ReceiveBuffers,
    count: number,
    bytes: number,
    header: Uint8Array,
  ): boolean {
    const got = this.#scattered(buffers, count, bytes, header, true);
    return got !== EMSGSIZE && this.#received(got) === bytes;
  }

  /** The next message, of so many bytes, into private memory. */
  takeMessage(bytes: number): Uint8Array | undefined {
    const message = new Uint8Array(bytes);
    const got = this.#received(native.hostReceive(this.fd, message, 0, bytes, false));
    return got === bytes ? message : undefined;
  }

  #scattered(
    buffers: ReceiveBuffers,
    count: number,
    bytes: number,
    header: Uint8Array,
    whole: boolean,
  ): number {
    const { chains, head } = buffers;
    const lengthAt = 4 * WORD_LENGTH;
    return this.#context.receiveScattered(
      this.fd,
      chains,
      head,
      count,
      bytes,
      header,
      lengthAt,
      whole,
    );
  }

  #received(got: number): number | undefined {
    if (got > 0) {
      return got;
    }
    this.readable = false;
    if (got === EAGAIN) {
      return undefined;
    }
    this.ended = true;
    return 0;
  }

  /** At its end, whether the host has left altogether. Only a stream can be asked: an empty message
   *  would be one. */
  get left(): boolean {
    return !this.#keepsMessages && native.hostSend(this.fd, NOTHING, 0, 0) < 0;
  }

  /** The guest says no more: so does the socket, once everything is out. */
  endWriting(): void {
    this.#endAfterFlush = true;
    if (this.#backlog.bytes === 0) {
      this.#endWriting();
    }
  }

  #endWriting(): void {
    this.#endAfterFlush = false;
    native.hostShutdown(this.fd, SHUT_WR);
  }

  /** The guest listens no more. */
  endReading(): void {
    this.ended = true;
    this.readable = false;
    native.hostShutdown(this.fd, SHUT_RD);
  }

  /** The kernel has said that both directions are over, and watches no longer. */
  hungUp(): void {
    this.#writeWatched = false;
  }

  /** aborted: before both sides had said their last. */
  close(aborted: boolean): void {
    if (!this.#closed) {
      this.#closed = true;
      this.#backlog.clear();
      this.#context.unwatch(this.token);
      // The watch may hold the socket a moment longer than our descriptor does.
      native.hostShutdown(this.fd, SHUT_RDWR);
      native.fdClose(this.fd);
      this.#link.ended?.(aborted);
    }
  }

  #watchWrites(wanted: boolean): void {
    if (wanted !== this.#writeWatched) {
      this.#writeWatched = wanted;
      this.#context.unwatch(this.token);
      this.#context.watch(this.fd, this.token, wanted);
    }
  }
}
