// Blocks of a capture, read back.

import t from 'tap';
import {
  encodeFrame,
  encodeHeader,
  encodeStatistics,
  frameBlockBytes,
} from '../../../../src/devices/net/capture/pcapng.js';
import { frame } from '../../../support/frames.js';
import { readCapture } from '../../../support/pcapng.js';

t.test('header, frames of every padding, statistics', (t) => {
  const parts: Uint8Array[] = [encodeHeader(['left', 'the right one'])];
  const lengths = [14, 15, 16, 17, 60, 1514, 65_550];
  lengths.forEach((bytes, i) => {
    const place = { interface: i % 2, inbound: i % 3 === 0, stampHigh: 0x1234, stampLow: i };
    const block = Buffer.alloc(frameBlockBytes(bytes) + 8, 0xee);
    const end = encodeFrame(block, 4, { ...place, bytes: frame(bytes, i) });
    t.equal(end, block.byteLength - 4, 'as long as was said');
    t.equal(block.readUInt32LE(0), 0xeeeeeeee);
    t.equal(block.readUInt32LE(end), 0xeeeeeeee);
    parts.push(block.subarray(4, end));
  });
  parts.push(encodeStatistics(77, Date.now()));
  const { interfaces, frames, drops } = readCapture(Buffer.concat(parts));
  t.same(interfaces, ['left', 'the right one']);
  t.equal(drops, 77n);
  t.equal(frames.length, lengths.length);
  frames.forEach((read, i) => {
    t.same([...read.bytes], [...frame(lengths[i] as number, i)]);
    t.same([read.interface, read.inbound], [i % 2, i % 3 === 0]);
    t.equal(read.stampNs, (0x1234n << 32n) | BigInt(i));
  });
  t.end();
});
