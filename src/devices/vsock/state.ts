// What a vsock device takes along in a migration: which guest it was. Connections stay behind, as
// VIRTIO 1.3 §5.10.6.7 wants it: the guest is told by TRANSPORT_RESET. Little-endian: magic,
// version, length of the body, body. It comes from another host, so nothing in it is believed.

/** 'vtvs'. */
const MAGIC = 0x73767476;
const VERSION = 1;
const BODY_BYTES = 8;
export const STATE_BYTES = 20;

export interface VsockState {
  readonly guestCid: number;
}

export function encodeState({ guestCid }: VsockState): Uint8Array {
  const bytes = new Uint8Array(STATE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(8, BODY_BYTES, true);
  view.setBigUint64(12, BigInt(guestCid), true);
  return bytes;
}

/** Throws for anything `encodeState` can't have made. */
export function decodeState(bytes: Uint8Array): VsockState {
  if (bytes.byteLength !== STATE_BYTES) {
    throw new Error(`vsock state of ${bytes.byteLength} bytes, expected ${STATE_BYTES}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, STATE_BYTES);
  const head = [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)];
  if (head[0] !== MAGIC || head[1] !== VERSION || head[2] !== BODY_BYTES) {
    throw new Error('this is not the state of a vsock device, or of a later version');
  }
  const guestCid = view.getBigUint64(12, true);
  if (guestCid < 3n || guestCid > 0xffff_fffen) {
    throw new Error('vsock state with a CID no guest can have');
  }
  return { guestCid: Number(guestCid) };
}
