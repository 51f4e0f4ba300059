// Ethernet frames for tests.

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';
export const GUEST_MAC = '52:54:00:aa:00:01';
export const HOST_MAC = '52:54:00:bb:00:01';
/** IEEE 802 local experimental ethertype: no stack answers it. */
const ETHERTYPE = 0x88b5;

export const macBytes = (mac: string) =>
  Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));

const IP_UDP = 17;

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

/** An IPv4/TCP frame of `bytes`, its checksum left to be done. */
export function tcpFrame(bytes: number): Uint8Array {
  const made = frame(bytes, 3, GUEST_MAC, HOST_MAC);
  const view = new DataView(made.buffer);
  made.fill(0, 14, 54);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, bytes - 14);
  view.setUint16(22, 0x4006);
  view.setUint32(26, 0x0a000001);
  view.setUint32(30, 0x0a000002);
  view.setUint16(24, ipChecksum(view));
  view.setUint16(34, 1234);
  view.setUint16(36, 80);
  view.setUint16(46, 0x5010);
  return made;
}

/** An IPv4/UDP frame from a port to a port, without checksum: none is due. */
export function udpFrame(bytes: number, fromPort: number, toPort = 9): Uint8Array {
  const made = tcpFrame(bytes);
  const view = new DataView(made.buffer);
  made.fill(0, 34, 54);
  made[23] = IP_UDP;
  view.setUint16(24, 0);
  view.setUint16(24, ipChecksum(view));
  view.setUint16(34, fromPort);
  view.setUint16(36, toPort);
  view.setUint16(38, bytes - 34);
  return made;
}

/** Of the IPv4 header, whose field is zero. */
export function ipChecksum(view: DataView): number {
  let sum = 0;
  for (let at = 14; at < 34; at += 2) {
    sum += view.getUint16(at);
  }
  return ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
}
