// Packets to the guest: one for each receive buffer, from whoever is next. The kernel puts a
// stream's bytes behind the places of the headers, of several buffers at a time.

import type { HandlerContext } from '../../core/device.js';
import type { Connection } from './connection.js';
import type { Connections } from './connections.js';
import {
  HEADER_BYTES,
  HeaderWriter,
  OP_RST,
  OP_RW,
  TYPE_SEQPACKET,
  WORD_DST_CID,
  WORD_FLAGS,
  WORD_SRC_CID,
} from './format.js';
import type { ReceiveBuffers } from './receive-buffers.js';

/** Longer messages of the host's are none: a socket's send buffer is at most twice wmem_max, whose
 *  usual value is 208 KiB. */
const MESSAGE_BYTES_MAX = 1 << 20;
/** Of a stream before the next in turn: what Linux puts into one packet. */
const TURN_BYTES = 65_536;
/** Buffers for them: Linux's are a page. */
const TURN_BUFFERS = 16;
/** The rest of a guest's credit goes in halves, down to this: it tells of more room when little is
 *  left, and meanwhile there is something to send. */
const LAST_BYTES = 4096;

/** How many of the first buffers have room for so much payload; fewer when there are no more. */
function buffersFor(buffers: ReceiveBuffers, bytes: number, max = buffers.count): number {
  const most = Math.min(max, buffers.count);
  let count = 0;
  for (let room = 0; room < bytes && count < most; count++) {
    room += buffers.bytes(count) - HEADER_BYTES;
  }
  return count;
}

export class PacketSender {
  readonly #context: HandlerContext;
  readonly #connections: Connections;
  readonly #guestCid: number;
  readonly #header = new HeaderWriter();
  /** Flags of a message's last packet, as they lie in its header. */
  readonly #endFlags = new Uint8Array(4);
  /** Bytes that have gone by the kernel's hand, in all. */
  payloadBytes = 0;

  constructor(context: HandlerContext, connections: Connections, guestCid: number) {
    this.#context = context;
    this.#connections = connections;
    this.#guestCid = guestCid;
  }

  /** Fills and completes receive buffers for the next in turn; how many, 0 when nobody has
   *  anything. There is one at least. */
  next(buffers: ReceiveBuffers): number {
    const refusal = this.#connections.refusals.shift();
    if (refusal !== undefined) {
      return this.#refusal(buffers, refusal);
    }
    for (;;) {
      const connection = this.#connections.list.shift();
      if (connection === undefined) {
        return 0;
      }
      const filled = this.#from(connection, buffers);
      this.#connections.settle(connection);
      if (connection.hasWork) {
        this.#connections.list.push(connection);
      }
      if (filled > 0) {
        return filled;
      }
    }
  }

  #from(connection: Connection, buffers: ReceiveBuffers): number {
    const op = connection.nextControl();
    if (op !== 0) {
      const flags = connection.controlSent();
      return this.#packet(connection, buffers, op, flags, 0);
    }
    if (!connection.canSend) {
      return 0;
    }
    return connection.type === TYPE_SEQPACKET
      ? this.#message(connection, buffers)
      : this.#stream(connection, buffers);
  }

  #stream(connection: Connection, buffers: ReceiveBuffers): number {
    const { sendable } = connection.credit;
    const bytes = Math.min(TURN_BYTES, Math.max(sendable >>> 1, Math.min(sendable, LAST_BYTES)));
    const offered = buffersFor(buffers, bytes, TURN_BUFFERS);
    const header = this.#headerOf(connection, OP_RW, 0, 0);
    const got = connection.socket.receive(buffers, offered, bytes, header);
    if (got === undefined) {
      return 0;
    }
    if (got === 0) {
      connection.hostEnded();
      return 0;
    }
    connection.dataSent(got);
    connection.credit.announce();
    return this.#complete(buffers, got);
  }

  #message(connection: Connection, buffers: ReceiveBuffers): number {
    if (connection.messageRest === undefined) {
      const filled = this.#nextMessage(connection, buffers);
      if (filled > 0 || connection.messageRest === undefined) {
        return filled;
      }
    }
    const rest = connection.messageRest as Uint8Array;
    const room = Math.min(buffers.bytes(0) - HEADER_BYTES, connection.credit.sendable);
    const bytes = Math.min(room, rest.byteLength);
    const last = bytes === rest.byteLength;
    const flags = last ? connection.socket.endFlags : 0;
    this.#context.copyIn(buffers.chain(0), HEADER_BYTES, rest, bytes);
    connection.messageSent(bytes, last);
    return this.#packet(connection, buffers, OP_RW, flags, bytes);
  }

  /** The next message straight into the buffers, if they and the guest's credit take all of it;
   *  else it is kept by the connection. The buffers filled. */
  #nextMessage(connection: Connection, buffers: ReceiveBuffers): number {
    const { socket, credit } = connection;
    const bytes = socket.nextMessageBytes();
    if (bytes === undefined) {
      return 0;
    }
    if (bytes === 0) {
      connection.hostEnded();
      return 0;
    }
    if (bytes > MESSAGE_BYTES_MAX || bytes > credit.peerBufAlloc) {
      // It can never arrive in one piece (VS-040).
      connection.reset();
      return 0;
    }
    const offered = buffersFor(buffers, bytes);
    const header = this.#headerOf(connection, OP_RW, offered === 1 ? socket.endFlags : 0, 0);
    if (bytes > credit.sendable || !socket.receiveMessage(buffers, offered, bytes, header)) {
      const message = socket.takeMessage(bytes);
      if (message !== undefined) {
        connection.keepMessage(message);
      }
      return 0;
    }
    if (offered > 1) {
      this.#endFlags[0] = socket.endFlags;
      this.#context.copyIn(buffers.chain(offered - 1), 4 * WORD_FLAGS, this.#endFlags, 4);
    }
    connection.messageSent(bytes, true);
    credit.announce();
    return this.#complete(buffers, bytes);
  }

  /** The first buffers, full of payload but for the last, are the guest's again; how many. */
  #complete(buffers: ReceiveBuffers, bytes: number): number {
    this.payloadBytes += bytes;
    let filled = 0;
    for (let left = bytes; left > 0; filled++) {
      const payloadBytes = Math.min(left, buffers.bytes(filled) - HEADER_BYTES);
      this.#context.commands.complete(buffers.chain(filled), HEADER_BYTES + payloadBytes);
      left -= payloadBytes;
    }
    buffers.shift(filled);
    return filled;
  }

  /** A packet whose payload is in its place. */
  #packet(
    connection: Connection,
    buffers: ReceiveBuffers,
    op: number,
    flags: number,
    payloadBytes: number,
  ): number {
    this.#put(buffers, this.#headerOf(connection, op, flags, payloadBytes), payloadBytes);
    connection.credit.announce();
    return 1;
  }

  /** Valid until the next; it tells of credit, which is announced once it has gone. */
  #headerOf(connection: Connection, op: number, flags: number, payloadBytes: number): Uint8Array {
    const { credit, type, peerCid, hostPort, guestPort } = connection;
    const header = this.#header;
    header.addresses(peerCid, hostPort, this.#guestCid, guestPort);
    header.content(type, op, flags, payloadBytes);
    if (op === OP_RST) {
      header.credit(0, 0);
    } else {
      header.credit(credit.bufAlloc, credit.forwarded);
    }
    return header.bytes;
  }

  #refusal(buffers: ReceiveBuffers, words: Uint32Array): number {
    const [srcCid = 0, srcHigh = 0, dstCid = 0, dstHigh = 0, srcPort = 0, dstPort = 0, type = 0] =
      words;
    const header = this.#header;
    header.addresses(0, dstPort, 0, srcPort);
    header.words64(WORD_SRC_CID, dstCid, dstHigh);
    header.words64(WORD_DST_CID, srcCid, srcHigh);
    header.content(type, OP_RST, 0, 0);
    header.credit(0, 0);
    this.#put(buffers, header.bytes, 0);
    return 1;
  }

  /** Header in front, and the first buffer is the guest's again. */
  #put(buffers: ReceiveBuffers, header: Uint8Array, payloadBytes: number): void {
    const chain = buffers.chain(0);
    this.#context.copyIn(chain, 0, header, HEADER_BYTES);
    this.#context.commands.complete(chain, HEADER_BYTES + payloadBytes);
    buffers.shift(1);
  }
}
