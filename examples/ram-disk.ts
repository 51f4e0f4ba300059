// A disk in memory (VIRTIO 1.3 §5.2) on the plain face. `vhost-ts blk` is the fast one; this shows
// a request with a header, data in either direction and a status byte at the end.

import { defineDevice, isMain, serve } from '@vhost-ts/vhost-ts';
import * as z from 'zod';

const SECTOR_BYTES = 512;
const IN = 0;
const OUT = 1;
const FLUSH = 4;
const STATUS_OK = 0;
const STATUS_IOERR = 1;
const STATUS_UNSUPP = 2;
/** VIRTIO_BLK_F_FLUSH */
const FEATURE_FLUSH = 1n << 9n;

export const ramDisk = defineDevice({
  module: import.meta.url,
  name: 'ram-disk',
  virtioId: 2,
  queues: 1,
  features: FEATURE_FLUSH,
  options: z.strictObject({ mebibytes: z.int().min(1).max(4096).default(64) }),
  config({ mebibytes }) {
    const config = new Uint8Array(8);
    const sectors = (BigInt(mebibytes) << 20n) / BigInt(SECTOR_BYTES);
    new DataView(config.buffer).setBigUint64(0, sectors, true);
    return config;
  },
  open: ({ mebibytes }) => ({ disk: Buffer.alloc(mebibytes << 20) }),

  process(_queue, { reader, writer }, { state: { disk } }) {
    const status = writer.splitAt(writer.available - 1);
    const type = reader.u32();
    reader.skip(4);
    // Beyond 2^53 the product is inexact, and beyond every disk all the same.
    const offset = Number(reader.u64()) * SECTOR_BYTES;
    const bytes = type === IN ? writer.available : reader.available;
    if (type === FLUSH) {
      status.u8(STATUS_OK);
    } else if (type !== IN && type !== OUT) {
      status.u8(STATUS_UNSUPP);
    } else if (bytes % SECTOR_BYTES !== 0 || offset + bytes > disk.length) {
      status.u8(STATUS_IOERR);
    } else {
      const place = disk.subarray(offset, offset + bytes);
      if (type === IN) {
        writer.write(place);
      } else {
        reader.readInto(place);
      }
      status.u8(STATUS_OK);
    }
  },
});

if (isMain(import.meta.url)) {
  await serve(ramDisk, { socket: process.argv[2] });
}
