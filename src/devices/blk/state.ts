// What a disk takes along in a migration beside its image: the driver's choice of write cache.
// Sixteen bytes, little-endian: magic, version, length of the body, body. They come from another
// host, so nothing in them is believed.

/** 'vtbk', so that another device's state is not taken for a disk's. */
const MAGIC = 0x6b627476;
const VERSION = 1;
const BODY_BYTES = 4;
export const STATE_BYTES = 16;

const MAGIC_AT = 0;
const VERSION_AT = 4;
const BODY_BYTES_AT = 8;
const WRITEBACK_AT = 12;
/** Up to the end: zero in this version. */
const RESERVED_AT = 13;

export interface BlkState {
  readonly writeback: boolean;
}

export function encodeState({ writeback }: BlkState): Uint8Array {
  const bytes = new Uint8Array(STATE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(MAGIC_AT, MAGIC, true);
  view.setUint32(VERSION_AT, VERSION, true);
  view.setUint32(BODY_BYTES_AT, BODY_BYTES, true);
  view.setUint8(WRITEBACK_AT, writeback ? 1 : 0);
  return bytes;
}

/** Throws for anything `encodeState` can't have made. */
export function decodeState(bytes: Uint8Array): BlkState {
  if (bytes.byteLength !== STATE_BYTES) {
    throw new Error(`disk state of ${bytes.byteLength} bytes, expected ${STATE_BYTES}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, STATE_BYTES);
  if (view.getUint32(MAGIC_AT, true) !== MAGIC) {
    throw new Error('this is not the state of a disk');
  }
  const version = view.getUint32(VERSION_AT, true);
  if (version !== VERSION) {
    throw new Error(`disk state of version ${version}, known is ${VERSION}`);
  }
  const writeback = view.getUint8(WRITEBACK_AT);
  const reserved = bytes.subarray(RESERVED_AT).some((byte) => byte !== 0);
  if (view.getUint32(BODY_BYTES_AT, true) !== BODY_BYTES || writeback > 1 || reserved) {
    throw new Error('disk state with values it can not have');
  }
  return { writeback: writeback === 1 };
}
