// The Internet checksum a sender has left to its card (VIRTIO 1.3 §5.1.6.2), done for a receiver
// that can't do without it.

/** Sums from `start` on and writes the result at `start + offset`, where the sender has put the sum
 *  of the pseudo header. Both lie inside, as TransmitHeader has checked. */
export function completeChecksum(frame: Uint8Array, start: number, offset: number): void {
  let sum = 0;
  const last = frame.byteLength - 1;
  for (let at = start; at < last; at += 2) {
    sum += ((frame[at] as number) << 8) | (frame[at + 1] as number);
  }
  if ((frame.byteLength - start) % 2 === 1) {
    sum += (frame[last] as number) << 8;
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  }
  // Of UDP 0 would mean "none"; all ones is the same number.
  const made = sum === 0xffff ? 0xffff : ~sum & 0xffff;
  frame[start + offset] = made >>> 8;
  frame[start + offset + 1] = made & 0xff;
}
