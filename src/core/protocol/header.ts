// The twelve bytes before every message: request id, flags, payload length.
// The channel speaks the host's byte order; both supported hosts (x86-64, arm64 Linux) are
// little-endian, so this folder says little-endian everywhere and is right about both.

import { VhostUserError } from './errors.js';

export const HEADER_BYTES = 12;

/**
 * Longest payload accepted: rust-vmm's limit, and a GET_CONFIG can use all of it. The longest fixed
 * struct is GET_SHMEM_CONFIG's reply (2056). Checked before any allocation, so that no header makes
 * the daemon allocate 4 GiB.
 */
export const PAYLOAD_BYTES_MAX = 4096;

/** Most fds one message carries: one per region of the largest SET_MEM_TABLE. */
export const FDS_MAX = 8;

export const PROTOCOL_VERSION = 1;

const VERSION_MASK = 0x3;
const FLAG_REPLY = 0x4;
const FLAG_NEED_REPLY = 0x8;
const RESERVED_MASK = ~(VERSION_MASK | FLAG_REPLY | FLAG_NEED_REPLY);

export const REQUEST_FLAGS = PROTOCOL_VERSION;
export const REQUEST_FLAGS_NEED_REPLY = PROTOCOL_VERSION | FLAG_NEED_REPLY;
/** Exactly this: QEMU ends the session when a reply echoes NEED_REPLY. */
export const REPLY_FLAGS = PROTOCOL_VERSION | FLAG_REPLY;

export interface MessageHeader {
  readonly request: number;
  readonly flags: number;
  readonly version: number;
  readonly isReply: boolean;
  readonly needReply: boolean;
  /** Flag bits 4 to 31, in place; 0 in every message known today. */
  readonly reservedBits: number;
  /** Payload length in bytes. */
  readonly size: number;
}

/** Splits exactly `HEADER_BYTES` bytes into fields; judges nothing. */
export function decodeHeader(bytes: Uint8Array): MessageHeader {
  if (bytes.byteLength !== HEADER_BYTES) {
    throw new RangeError(`a header has ${HEADER_BYTES} bytes, not ${bytes.byteLength}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const flags = view.getUint32(4, true);
  return {
    request: view.getUint32(0, true),
    flags,
    version: flags & VERSION_MASK,
    isReply: (flags & FLAG_REPLY) !== 0,
    needReply: (flags & FLAG_NEED_REPLY) !== 0,
    reservedBits: (flags & RESERVED_MASK) >>> 0,
    size: view.getUint32(8, true),
  };
}

/** Throws unless `header` may begin a request. Call it before reading or allocating the payload. */
export function checkRequestHeader(header: MessageHeader): void {
  checkFraming(header);
  if (header.isReply) {
    throw new VhostUserError('HEADER_FLAGS', `request ${header.request} is marked as a reply`);
  }
}

/** Throws unless `header` begins the reply to `request`. */
export function checkReplyHeader(header: MessageHeader, request: number): void {
  checkFraming(header);
  if (header.flags !== REPLY_FLAGS) {
    throw new VhostUserError('HEADER_FLAGS', `reply with flags ${hex(header.flags)}`);
  }
  if (header.request !== request) {
    throw new VhostUserError('UNEXPECTED_REPLY', `to ${header.request}, asked was ${request}`);
  }
}

function checkFraming(header: MessageHeader): void {
  if (header.version !== PROTOCOL_VERSION) {
    throw new VhostUserError('VERSION', `version ${header.version}`);
  }
  if (header.reservedBits !== 0) {
    throw new VhostUserError('HEADER_FLAGS', `flags ${hex(header.flags)}`);
  }
  if (header.size > PAYLOAD_BYTES_MAX) {
    throw new VhostUserError('OVERSIZE', `${header.size} bytes, limit ${PAYLOAD_BYTES_MAX}`);
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
