// The frame that tells switches where a station is: a reverse ARP request (RFC 903) of its own
// address, which no host answers.

const FRAME_BYTES = 60;
const BROADCAST = new Uint8Array(6).fill(0xff);
const ETHERTYPE_RARP = 0x8035;
const HARDWARE_ETHERNET = 1;
const PROTOCOL_IPV4 = 0x0800;
/** Lengths of either address. */
const ADDRESS_LENGTHS = 0x0604;
const REVERSE_REQUEST = 3;

export function rarpFrame(mac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  frame.set(BROADCAST);
  frame.set(mac, 6);
  const view = new DataView(frame.buffer);
  const words = [ETHERTYPE_RARP, HARDWARE_ETHERNET, PROTOCOL_IPV4, ADDRESS_LENGTHS];
  [...words, REVERSE_REQUEST].forEach((word, i) => {
    view.setUint16(12 + 2 * i, word);
  });
  const [senderOffset, targetOffset] = [22, 32];
  frame.set(mac, senderOffset);
  frame.set(mac, targetOffset);
  return frame;
}
