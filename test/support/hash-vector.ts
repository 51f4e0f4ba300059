// The first of the vectors that came with receive-side scaling: 66.9.149.187:2794 to
// 161.142.100.80:1766 by TCP.

import { ipChecksum, tcpFrame } from './frames.js';

export const HASH_KEY = Uint8Array.from(
  Buffer.from(
    '6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa',
    'hex',
  ),
);
export const HASH_OF_PORTS = 0x51ccc178;

/** Without a checksum of TCP's. */
export function hashVectorFrame(bytes: number): Uint8Array {
  const made = tcpFrame(bytes);
  const view = new DataView(made.buffer);
  made.set([66, 9, 149, 187, 161, 142, 100, 80], 26);
  view.setUint16(24, 0);
  view.setUint16(24, ipChecksum(view));
  view.setUint16(34, 2794);
  view.setUint16(36, 1766);
  return made;
}
