// virtio-blk on the wire (VIRTIO 1.3 §5.2): feature bits, request types, config space.

export const VIRTIO_BLK_F_SEG_MAX = 1n << 2n;
export const VIRTIO_BLK_F_RO = 1n << 5n;
export const VIRTIO_BLK_F_BLK_SIZE = 1n << 6n;
export const VIRTIO_BLK_F_FLUSH = 1n << 9n;
export const VIRTIO_BLK_F_TOPOLOGY = 1n << 10n;
export const VIRTIO_BLK_F_CONFIG_WCE = 1n << 11n;
export const VIRTIO_BLK_F_MQ = 1n << 12n;
export const VIRTIO_BLK_F_DISCARD = 1n << 13n;
export const VIRTIO_BLK_F_WRITE_ZEROES = 1n << 14n;

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

/** Requests count in these whatever the block size is (§5.2.6). */
export const SECTOR_BYTES = 512;
/** le32 type, le32 reserved, le64 sector. */
export const REQUEST_HEADER_BYTES = 16;
/** le64 sector, le32 num_sectors, le32 flags (§5.2.6: struct virtio_blk_discard_write_zeroes). */
export const SEGMENT_BYTES = 16;
export const SEGMENT_FLAG_UNMAP = 1;
/** §5.2.6.2: the device ID string, zero-padded, not necessarily terminated. */
export const ID_BYTES = 20;

/** Segments of one DISCARD or WRITE_ZEROES: bounds the work one request can order (BK-021). */
export const SEGMENTS_MAX = 64;
/** 2 GiB for each segment: where fallocate is missing, zeroes are written, which takes long. */
export const SEGMENT_SECTORS_MAX = 2 ** 31 / SECTOR_BYTES;

/** Struct virtio_blk_config up to the zoned part; front-ends ask 36, 60 or 96 bytes of it. */
export const CONFIG_BYTES = 60;
/** The one field a driver may write. */
export const CONFIG_WRITEBACK_OFFSET = 32;

export interface BlkGeometry {
  readonly capacitySectors: number;
  readonly blockBytes: number;
  readonly physicalBlockBytes: number;
  readonly segmentsMax: number;
  readonly queues: number;
  readonly writeback: boolean;
}

export function encodeConfig(geometry: BlkGeometry): Uint8Array {
  const bytes = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(bytes.buffer);
  const { blockBytes, physicalBlockBytes } = geometry;
  const blockSectors = blockBytes / SECTOR_BYTES;
  view.setBigUint64(0, BigInt(geometry.capacitySectors), true);
  view.setUint32(12, geometry.segmentsMax, true);
  view.setUint32(20, blockBytes, true);
  view.setUint8(24, Math.log2(physicalBlockBytes / blockBytes)); // physical_block_exp
  view.setUint16(26, 1, true); // min_io_size, in blocks
  view.setUint8(CONFIG_WRITEBACK_OFFSET, geometry.writeback ? 1 : 0);
  view.setUint16(34, geometry.queues, true);
  view.setUint32(36, SEGMENT_SECTORS_MAX, true); // max_discard_sectors
  view.setUint32(40, SEGMENTS_MAX, true);
  view.setUint32(44, blockSectors, true); // discard_sector_alignment
  view.setUint32(48, SEGMENT_SECTORS_MAX, true); // max_write_zeroes_sectors
  view.setUint32(52, SEGMENTS_MAX, true);
  view.setUint8(56, 1); // write_zeroes_may_unmap
  return bytes;
}
