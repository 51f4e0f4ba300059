// Payloads that speak about one vring.

import { VhostUserError } from './errors.js';
import {
  type DecodedBy,
  type PayloadCodec,
  payloadView,
  struct,
  structCodec,
  u32,
  u64,
  viewOf,
} from './struct.js';

/** Size, base, enable bit or endianness of a vring; the request says which. */
export const vringStateCodec = structCodec(struct(8, { index: u32(0), num: u32(4) }));
export type VringState = DecodedBy<typeof vringStateCodec>;

/** vhost-user: SET_VRING_ADDR flags bit 0, writes to the used ring go to the dirty log. */
export const VHOST_VRING_F_LOG = 0x1;

export const vringAddrCodec = structCodec(
  struct(40, {
    index: u32(0),
    flags: u32(4),
    descriptorAddress: u64(8),
    usedAddress: u64(16),
    availableAddress: u64(24),
    logAddress: u64(32),
  }),
  (addr) => {
    if ((addr.flags & ~VHOST_VRING_F_LOG) !== 0) {
      throw new VhostUserError('PAYLOAD_VALUE', `vring address flags ${addr.flags}`);
    }
  },
);
export type VringAddr = DecodedBy<typeof vringAddrCodec>;

const VRING_INDEX_MASK = 0xffn;
const VRING_NOFD = 1n << 8n;

/** The word that names a vring and says whether an fd travels with the message. */
export interface VringFd {
  readonly index: number;
  readonly hasFd: boolean;
}

function decodeVringWord(word: bigint): VringFd {
  // Bits 9 to 63 are refused, not masked: 65536 + 1 must not quietly become vring 1 (CS-100).
  if ((word & ~(VRING_INDEX_MASK | VRING_NOFD)) !== 0n) {
    throw new VhostUserError('PAYLOAD_VALUE', `vring word 0x${word.toString(16)}`);
  }
  return { index: Number(word & VRING_INDEX_MASK), hasFd: (word & VRING_NOFD) === 0n };
}

function encodeVringWord({ index, hasFd }: VringFd): bigint {
  if (!Number.isInteger(index) || index < 0 || index > Number(VRING_INDEX_MASK)) {
    throw new RangeError(`vring index ${index} does not fit 8 bits`);
  }
  return BigInt(index) | (hasFd ? 0n : VRING_NOFD);
}

const VRING_FD_LENGTHS = { oneOf: [8] };

export const vringFdCodec: PayloadCodec<VringFd> = {
  lengths: VRING_FD_LENGTHS,
  decode: (bytes) => decodeVringWord(payloadView(bytes, VRING_FD_LENGTHS).getBigUint64(0, true)),
  encode(value) {
    const bytes = new Uint8Array(8);
    viewOf(bytes).setBigUint64(0, encodeVringWord(value), true);
    return bytes;
  },
};

/** Page of the back-end that a front-end may map as a vring's doorbell. */
export interface VringArea extends VringFd {
  readonly sizeBytes: bigint;
  readonly offsetBytes: bigint;
}

const VRING_AREA = struct(24, { word: u64(0), sizeBytes: u64(8), offsetBytes: u64(16) });
const VRING_AREA_LENGTHS = { oneOf: [VRING_AREA.lengthBytes] };

export const vringAreaCodec: PayloadCodec<VringArea> = {
  lengths: VRING_AREA_LENGTHS,
  decode(bytes) {
    const { word, ...area } = VRING_AREA.read(payloadView(bytes, VRING_AREA_LENGTHS), 0);
    return { ...decodeVringWord(word), ...area };
  },
  encode(value) {
    const bytes = new Uint8Array(VRING_AREA.lengthBytes);
    VRING_AREA.write(viewOf(bytes), 0, { ...value, word: encodeVringWord(value) });
    return bytes;
  },
};
