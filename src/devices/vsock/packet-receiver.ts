// Packets of the guest's, one after another: whose it is, whether it may be, what follows.

import type { Batch } from '../../core/virtqueue/batch.js';
import type { Connection } from './connection.js';
import type { Connections } from './connections.js';
import {
  HEADER_BYTES,
  OP_CREDIT_REQUEST,
  OP_CREDIT_UPDATE,
  OP_REQUEST,
  OP_RESPONSE,
  OP_RST,
  OP_RW,
  OP_SHUTDOWN,
  WORD_BUF_ALLOC,
  WORD_DST_CID,
  WORD_DST_CID_HIGH,
  WORD_DST_PORT,
  WORD_FLAGS,
  WORD_FWD_CNT,
  WORD_LENGTH,
  WORD_SRC_CID,
  WORD_SRC_CID_HIGH,
  WORD_SRC_PORT,
  WORD_TYPE_OP,
} from './format.js';

export class PacketReceiver {
  readonly #connections: Connections;
  readonly #guestCid: number;

  constructor(connections: Connections, guestCid: number) {
    this.#connections = connections;
    this.#guestCid = guestCid;
  }

  /** The chain is completed by the caller: everything is out of it when this returns. */
  packet(batch: Batch, i: number): void {
    if (batch.readableBytes(i) < HEADER_BYTES) {
      // VS-006: nobody to answer.
      return;
    }
    const typeOp = batch.headerWord(i, WORD_TYPE_OP);
    const type = typeOp & 0xffff;
    const op = typeOp >>> 16;
    if (!this.#addressed(batch, i) || !this.#connections.allows(type)) {
      this.#refuse(batch, i, type, op);
      return;
    }
    const guestPort = batch.headerWord(i, WORD_SRC_PORT);
    const hostPort = batch.headerWord(i, WORD_DST_PORT);
    const peerCid = batch.headerWord(i, WORD_DST_CID);
    const connection = this.#connections.table.find(peerCid, guestPort, hostPort);
    if (connection !== undefined) {
      this.#toConnection(connection, batch, i, type, op);
      this.#connections.settle(connection);
    } else if (op === OP_REQUEST && !this.#connections.asked(peerCid, guestPort, hostPort)) {
      this.#connections.request(
        { type, peerCid, guestPort, hostPort },
        batch.headerWord(i, WORD_BUF_ALLOC),
        batch.headerWord(i, WORD_FWD_CNT),
      );
    } else {
      this.#connections.withdraw(peerCid, guestPort, hostPort);
      this.#refuse(batch, i, type, op);
    }
  }

  /** From this guest to the host, or to a guest it may know (VS-001). */
  #addressed(batch: Batch, i: number): boolean {
    return (
      batch.headerWord(i, WORD_SRC_CID) === this.#guestCid &&
      batch.headerWord(i, WORD_SRC_CID_HIGH) === 0 &&
      this.#connections.reaches(batch.headerWord(i, WORD_DST_CID)) &&
      batch.headerWord(i, WORD_DST_CID_HIGH) === 0
    );
  }

  #toConnection(connection: Connection, batch: Batch, i: number, type: number, op: number): void {
    if (op === OP_RST) {
      connection.forget();
      return;
    }
    if (connection.state === 'reset') {
      // Our RST is on its way to it.
      return;
    }
    const bytes = batch.headerWord(i, WORD_LENGTH);
    if (type !== connection.type || bytes > batch.readableBytes(i) - HEADER_BYTES) {
      connection.reset();
      return;
    }
    connection.creditHeard(batch.headerWord(i, WORD_BUF_ALLOC), batch.headerWord(i, WORD_FWD_CNT));
    switch (op) {
      case OP_RESPONSE:
        connection.response();
        break;
      case OP_RW:
        connection.data(batch.chain(i), bytes, batch.headerWord(i, WORD_FLAGS));
        break;
      case OP_SHUTDOWN:
        connection.shutdown(batch.headerWord(i, WORD_FLAGS));
        break;
      case OP_CREDIT_UPDATE:
        break;
      case OP_CREDIT_REQUEST:
        connection.creditRequested();
        break;
      default:
        // REQUEST for a live one (VS-010), and what nobody knows (VS-003).
        connection.reset();
    }
  }

  /** RST, but never for an RST (VS-012). */
  #refuse(batch: Batch, i: number, type: number, op: number): void {
    if (op !== OP_RST) {
      this.#connections.refusals.push(
        batch.headerWord(i, WORD_SRC_CID),
        batch.headerWord(i, WORD_SRC_CID_HIGH),
        batch.headerWord(i, WORD_DST_CID),
        batch.headerWord(i, WORD_DST_CID_HIGH),
        batch.headerWord(i, WORD_SRC_PORT),
        batch.headerWord(i, WORD_DST_PORT),
        type,
      );
    }
  }
}
