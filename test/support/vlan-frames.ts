// Frames with a VLAN tag.

/** The frame with a tag behind its addresses. */
export function tagged(frame: Uint8Array, vlan: number, priority = 0): Uint8Array {
  const tag = (priority << 13) | vlan;
  return Buffer.concat([
    frame.subarray(0, 12),
    Uint8Array.of(0x81, 0x00, tag >> 8, tag & 0xff),
    frame.subarray(12),
  ]);
}
