// The file format of tcpdump and Wireshark (IETF draft-ietf-opsawg-pcapng): section and interface
// headers, a block for each frame, statistics at the end. Little-endian throughout.

const BLOCK_SECTION = 0x0a0d0d0a;
const BLOCK_INTERFACE = 1;
const BLOCK_STATISTICS = 5;
const BLOCK_FRAME = 6;
const BYTE_ORDER = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;

const OPTION_END = 0;
const OPTION_SECTION_APPLICATION = 4;
const OPTION_INTERFACE_NAME = 2;
const OPTION_INTERFACE_TIME_RESOLUTION = 9;
const OPTION_FRAME_FLAGS = 2;
const OPTION_STATISTICS_DROPS = 5;

/** Negative power of ten of the stamps' unit. */
const NANOSECONDS = 9;

const INBOUND = 1;
const OUTBOUND = 2;

/** Type, length, interface, stamp, captured and original length; flags, end of options, length. */
const FRAME_HEAD_BYTES = 28;
const FRAME_TAIL_BYTES = 8 + 4 + 4;

const padded = (bytes: number): number => (bytes + 3) & ~3;

export interface CapturedFrame {
  readonly interface: number;
  /** To the guest, or from it. */
  readonly inbound: boolean;
  readonly bytes: Uint8Array;
  readonly stampLow: number;
  readonly stampHigh: number;
}

/** Header of the section, and of one interface for each name. */
export function encodeHeader(interfaces: readonly string[]): Uint8Array {
  const version = words(BYTE_ORDER, 1, 0xffffffff, 0xffffffff);
  const application = option(OPTION_SECTION_APPLICATION, Buffer.from('vhost-ts'));
  const section = block(BLOCK_SECTION, [version, application, option(OPTION_END)]);
  const each = interfaces.map((name) =>
    block(BLOCK_INTERFACE, [
      words(LINKTYPE_ETHERNET, 0),
      option(OPTION_INTERFACE_NAME, Buffer.from(name)),
      option(OPTION_INTERFACE_TIME_RESOLUTION, Uint8Array.of(NANOSECONDS)),
      option(OPTION_END),
    ]),
  );
  return Buffer.concat([section, ...each]);
}

export function frameBlockBytes(frameBytes: number): number {
  return FRAME_HEAD_BYTES + padded(frameBytes) + FRAME_TAIL_BYTES;
}

/** Writes the block of a frame at `at`, which has room for it; where the next one goes. */
export function encodeFrame(to: Buffer, at: number, frame: CapturedFrame): number {
  const { bytes } = frame;
  const total = frameBlockBytes(bytes.byteLength);
  to.writeUInt32LE(BLOCK_FRAME, at);
  to.writeUInt32LE(total, at + 4);
  to.writeUInt32LE(frame.interface, at + 8);
  to.writeUInt32LE(frame.stampHigh, at + 12);
  to.writeUInt32LE(frame.stampLow, at + 16);
  to.writeUInt32LE(bytes.byteLength, at + 20);
  to.writeUInt32LE(bytes.byteLength, at + 24);
  to.set(bytes, at + FRAME_HEAD_BYTES);
  const end = at + FRAME_HEAD_BYTES + bytes.byteLength;
  const tail = at + FRAME_HEAD_BYTES + padded(bytes.byteLength);
  to.fill(0, end, tail);
  to.writeUInt16LE(OPTION_FRAME_FLAGS, tail);
  to.writeUInt16LE(4, tail + 2);
  to.writeUInt32LE(frame.inbound ? INBOUND : OUTBOUND, tail + 4);
  to.writeUInt32LE(OPTION_END, tail + 8);
  to.writeUInt32LE(total, tail + 12);
  return tail + FRAME_TAIL_BYTES;
}

/** How many frames are missing. */
export function encodeStatistics(drops: number, nowMs: number): Uint8Array {
  const now = BigInt(nowMs) * 1_000_000n;
  const count = new Uint8Array(8);
  new DataView(count.buffer).setBigUint64(0, BigInt(drops), true);
  return block(BLOCK_STATISTICS, [
    words(0, Number(now >> 32n), Number(now & 0xffffffffn)),
    option(OPTION_STATISTICS_DROPS, count),
    option(OPTION_END),
  ]);
}

function block(type: number, parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const total = body.byteLength + 12;
  return Buffer.concat([words(type, total), body, words(total)]);
}

function option(code: number, value: Uint8Array = new Uint8Array(0)): Uint8Array {
  const made = Buffer.alloc(4 + padded(value.byteLength));
  made.writeUInt16LE(code, 0);
  made.writeUInt16LE(value.byteLength, 2);
  made.set(value, 4);
  return made;
}

function words(...values: readonly number[]): Uint8Array {
  const made = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => {
    made.writeUInt32LE(value, i * 4);
  });
  return made;
}
