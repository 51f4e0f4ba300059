// Reads a pcapng file back, block by block, believing nothing.

export interface ReadFrame {
  readonly interface: number;
  readonly inbound: boolean;
  readonly stampNs: bigint;
  readonly bytes: Uint8Array;
}

export interface ReadCapture {
  readonly interfaces: readonly string[];
  readonly frames: readonly ReadFrame[];
  /** From the statistics block; undefined: the file was not closed. */
  readonly drops: bigint | undefined;
}

type Options = ReadonlyMap<number, Buffer>;

export function readCapture(file: Buffer): ReadCapture {
  const interfaces: string[] = [];
  const frames: ReadFrame[] = [];
  let drops: bigint | undefined;
  for (const { type, body } of blocks(file)) {
    if (type === 1) {
      const { text, resolution } = interfaceOptions(readOptions(body.subarray(8)));
      if (body.readUInt16LE(0) !== 1 || resolution !== 9) {
        throw new Error('not Ethernet with nanoseconds');
      }
      interfaces.push(text);
    } else if (type === 6) {
      frames.push(readFrame(body));
    } else if (type === 5) {
      drops = readOptions(body.subarray(12)).get(5)?.readBigUInt64LE();
    }
  }
  return { interfaces, frames, drops };
}

function interfaceOptions(options: Options): { text: string; resolution: number | undefined } {
  return { text: String(options.get(2)), resolution: options.get(9)?.[0] };
}

function readFrame(body: Buffer): ReadFrame {
  const bytes = body.readUInt32LE(12);
  if (body.readUInt32LE(16) !== bytes) {
    throw new Error('a frame was cut');
  }
  const flags = readOptions(body.subarray(20 + ((bytes + 3) & ~3)))
    .get(2)
    ?.readUInt32LE();
  return {
    interface: body.readUInt32LE(0),
    inbound: flags === 1,
    stampNs: (BigInt(body.readUInt32LE(4)) << 32n) | BigInt(body.readUInt32LE(8)),
    bytes: body.subarray(20, 20 + bytes),
  };
}

function* blocks(file: Buffer): Generator<{ type: number; body: Buffer }> {
  for (let at = 0; at < file.byteLength; ) {
    const [type, total] = [file.readUInt32LE(at), file.readUInt32LE(at + 4)];
    if (total % 4 !== 0 || file.readUInt32LE(at + total - 4) !== total) {
      throw new Error(`block at ${at}: lengths differ`);
    }
    if (at === 0 && (type !== 0x0a0d0d0a || file.readUInt32LE(8) !== 0x1a2b3c4d)) {
      throw new Error('no section header');
    }
    yield { type, body: file.subarray(at + 8, at + total - 4) };
    at += total;
  }
}

function readOptions(from: Buffer): Options {
  const found = new Map<number, Buffer>();
  for (let at = 0; at < from.byteLength; ) {
    const [code, length] = [from.readUInt16LE(at), from.readUInt16LE(at + 2)];
    if (code === 0) {
      break;
    }
    found.set(code, from.subarray(at + 4, at + 4 + length));
    at += 4 + ((length + 3) & ~3);
  }
  return found;
}
