// Ethernet frames for tests.

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';
export const GUEST_MAC = '52:54:00:aa:00:01';
/** IEEE 802 local experimental ethertype: no stack answers it. */
const ETHERTYPE = 0x88b5;

export const macBytes = (mac: string) =>
  Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));

/** A frame of `bytes` in all, its payload counting from `seed`. */
export function frame(bytes: number, seed = 0, to = BROADCAST, from = GUEST_MAC): Uint8Array {
  const made = new Uint8Array(bytes);
  for (let i = 14; i < bytes; i++) {
    made[i] = (i * 7 + seed * 13) & 0xff;
  }
  const head = Uint8Array.from([
    ...macBytes(to),
    ...macBytes(from),
    ETHERTYPE >> 8,
    ETHERTYPE & 255,
  ]);
  made.set(head.subarray(0, Math.min(14, bytes)));
  return made;
}
