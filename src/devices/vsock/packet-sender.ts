// Packets to the guest: one for each receive buffer, from whoever is next. A header is written in
// front of a payload the kernel has put into the buffer already.

import type { HandlerContext } from '../../core/device.js';
import type { Connection } from './connection.js';
import type { Connections } from './connections.js';
import {
  HEADER_BYTES,
  HeaderWriter,
  OP_RST,
  OP_RW,
  SEQ_EOM,
  TYPE_SEQPACKET,
  WORD_DST_CID,
  WORD_SRC_CID,
} from './format.js';

/** Longer messages of the host's are none: a socket's send buffer is at most twice wmem_max, whose
 *  usual value is 208 KiB. */
const MESSAGE_BYTES_MAX = 1 << 20;

export class PacketSender {
  readonly #context: HandlerContext;
  readonly #connections: Connections;
  readonly #guestCid: number;
  readonly #header = new HeaderWriter();
  /** Where a message waits to be cut into packets. */
  #staging: Uint8Array | undefined;

  constructor(context: HandlerContext, connections: Connections, guestCid: number) {
    this.#context = context;
    this.#connections = connections;
    this.#guestCid = guestCid;
  }

  /** Fills one receive buffer; its used length, 0 when nobody has anything. */
  next(chain: number, bufferBytes: number): number {
    const refusal = this.#connections.refusals.shift();
    if (refusal !== undefined) {
      return this.#refusal(chain, refusal);
    }
    for (;;) {
      const connection = this.#connections.list.shift();
      if (connection === undefined) {
        return 0;
      }
      const usedBytes = this.#from(connection, chain, bufferBytes - HEADER_BYTES);
      this.#connections.settle(connection);
      if (connection.hasWork) {
        this.#connections.list.push(connection);
      }
      if (usedBytes > 0) {
        return usedBytes;
      }
    }
  }

  #from(connection: Connection, chain: number, roomBytes: number): number {
    const op = connection.nextControl();
    if (op !== 0) {
      const flags = connection.controlSent();
      return this.#packet(connection, chain, op, flags, 0);
    }
    if (!connection.canSend) {
      return 0;
    }
    const room = Math.min(roomBytes, connection.credit.sendable);
    return connection.type === TYPE_SEQPACKET
      ? this.#message(connection, chain, room)
      : this.#stream(connection, chain, room);
  }

  #stream(connection: Connection, chain: number, roomBytes: number): number {
    const got = connection.socket.receive(chain, roomBytes);
    if (got === undefined) {
      return 0;
    }
    if (got === 0) {
      connection.hostEnded();
      return 0;
    }
    connection.dataSent(got);
    return this.#packet(connection, chain, OP_RW, 0, got);
  }

  #message(connection: Connection, chain: number, roomBytes: number): number {
    if (connection.message === undefined && !this.#nextMessage(connection)) {
      return 0;
    }
    const message = connection.message as Uint8Array;
    const from = connection.messageSentBytes;
    const bytes = Math.min(roomBytes, message.byteLength - from);
    const last = from + bytes === message.byteLength;
    this.#context.copyIn(chain, HEADER_BYTES, message.subarray(from, from + bytes), bytes);
    connection.messageSent(bytes, last);
    return this.#packet(connection, chain, OP_RW, last ? SEQ_EOM : 0, bytes);
  }

  /** Takes a message off the socket; false when there is none. */
  #nextMessage(connection: Connection): boolean {
    this.#staging ??= new Uint8Array(MESSAGE_BYTES_MAX);
    const got = connection.socket.receiveMessage(this.#staging);
    if (got === undefined) {
      return false;
    }
    if (got === 0) {
      connection.hostEnded();
      return false;
    }
    if (got > MESSAGE_BYTES_MAX || got > connection.credit.peerBufAlloc) {
      // It can never arrive in one piece (VS-040).
      connection.reset();
      return false;
    }
    connection.message = this.#staging.slice(0, got);
    return true;
  }

  #packet(
    connection: Connection,
    chain: number,
    op: number,
    flags: number,
    payloadBytes: number,
  ): number {
    const { credit, type, peerCid, hostPort, guestPort } = connection;
    const header = this.#header;
    header.addresses(peerCid, hostPort, this.#guestCid, guestPort);
    header.content(type, op, flags, payloadBytes);
    if (op === OP_RST) {
      header.credit(0, 0);
    } else {
      header.credit(credit.bufAlloc, credit.announce());
    }
    this.#context.copyIn(chain, 0, header.bytes, HEADER_BYTES);
    return HEADER_BYTES + payloadBytes;
  }

  #refusal(chain: number, words: Uint32Array): number {
    const [srcCid = 0, srcHigh = 0, dstCid = 0, dstHigh = 0, srcPort = 0, dstPort = 0, type = 0] =
      words;
    const header = this.#header;
    header.addresses(0, dstPort, 0, srcPort);
    header.words64(WORD_SRC_CID, dstCid, dstHigh);
    header.words64(WORD_DST_CID, srcCid, srcHigh);
    header.content(type, OP_RST, 0, 0);
    header.credit(0, 0);
    this.#context.copyIn(chain, 0, header.bytes, HEADER_BYTES);
    return HEADER_BYTES;
  }
}
