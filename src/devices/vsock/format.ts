// virtio-vsock on the wire (VIRTIO 1.3 §5.10): feature bits, packet header, config space, events.

export const VIRTIO_VSOCK_F_STREAM = 1n << 0n;
export const VIRTIO_VSOCK_F_SEQPACKET = 1n << 1n;
export const VIRTIO_VSOCK_F_NO_IMPLIED_STREAM = 1n << 2n;

export const RX_QUEUE = 0;
export const TX_QUEUE = 1;
export const EVENT_QUEUE = 2;

export const TYPE_STREAM = 1;
export const TYPE_SEQPACKET = 2;

export const OP_REQUEST = 1;
export const OP_RESPONSE = 2;
export const OP_RST = 3;
export const OP_SHUTDOWN = 4;
export const OP_RW = 5;
export const OP_CREDIT_UPDATE = 6;
export const OP_CREDIT_REQUEST = 7;

/** §5.10.6.5: of SHUTDOWN. */
export const SHUTDOWN_RECEIVE = 1;
export const SHUTDOWN_SEND = 2;
export const SHUTDOWN_BOTH = 3;
/** §5.10.6.6: of RW in a seqpacket connection. End of record is for the applications (MSG_EOR). */
export const SEQ_EOM = 1;
export const SEQ_EOR = 2;

export const EVENT_TRANSPORT_RESET = 0;
export const EVENT_BYTES = 4;

/** The CID of the host (§5.10.4). */
export const HOST_CID = 2;
/** 0 and 1 are reserved, 2 is the host, 2^32 - 1 stands for any. */
export const GUEST_CID_MIN = 3;
export const GUEST_CID_MAX = 0xffff_fffe;
/** Of a bind to any port; no socket has it. */
export const PORT_ANY = 0xffff_ffff;

export const HEADER_BYTES = 44;
export const CONFIG_BYTES = 8;

// 32-bit words of the header.
export const WORD_SRC_CID = 0;
export const WORD_SRC_CID_HIGH = 1;
export const WORD_DST_CID = 2;
export const WORD_DST_CID_HIGH = 3;
export const WORD_SRC_PORT = 4;
export const WORD_DST_PORT = 5;
export const WORD_LENGTH = 6;
/** type in the low half, op in the high one. */
export const WORD_TYPE_OP = 7;
export const WORD_FLAGS = 8;
export const WORD_BUF_ALLOC = 9;
export const WORD_FWD_CNT = 10;

export function encodeConfig(guestCid: number): Uint8Array {
  const bytes = new Uint8Array(CONFIG_BYTES);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(guestCid), true);
  return bytes;
}

/** The header of the next packet to the guest: one buffer, filled anew for each. */
export class HeaderWriter {
  readonly bytes = new Uint8Array(HEADER_BYTES);
  readonly #view = new DataView(this.bytes.buffer);

  addresses(srcCid: number, srcPort: number, dstCid: number, dstPort: number): void {
    this.words64(WORD_SRC_CID, srcCid, 0);
    this.words64(WORD_DST_CID, dstCid, 0);
    this.#view.setUint32(4 * WORD_SRC_PORT, srcPort, true);
    this.#view.setUint32(4 * WORD_DST_PORT, dstPort, true);
  }

  /** A CID as it came, whatever its high half says. */
  words64(word: number, low: number, high: number): void {
    this.#view.setUint32(4 * word, low, true);
    this.#view.setUint32(4 * word + 4, high, true);
  }

  content(type: number, op: number, flags: number, lengthBytes: number): void {
    this.#view.setUint32(4 * WORD_LENGTH, lengthBytes, true);
    this.#view.setUint16(4 * WORD_TYPE_OP, type, true);
    this.#view.setUint16(4 * WORD_TYPE_OP + 2, op, true);
    this.#view.setUint32(4 * WORD_FLAGS, flags, true);
  }

  credit(bufAlloc: number, fwdCnt: number): void {
    this.#view.setUint32(4 * WORD_BUF_ALLOC, bufAlloc, true);
    this.#view.setUint32(4 * WORD_FWD_CNT, fwdCnt, true);
  }
}
