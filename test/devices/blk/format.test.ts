import t from 'tap';
import * as format from '../../../src/devices/blk/format.js';
import { toHex } from '../../core/protocol/hex.js';

t.test('feature bits', async (t) => {
  const { VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH } =
    format;
  const { VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_MQ } = format;
  const { VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES } = format;
  t.same(
    [VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH],
    [0x4n, 0x20n, 0x40n, 0x200n],
  );
  t.same(
    [VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_MQ],
    [0x400n, 0x800n, 0x1000n],
  );
  t.same([VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES], [0x2000n, 0x4000n]);
});

t.test('config space, byte by byte', async (t) => {
  const hex = toHex(
    format.encodeConfig({
      capacitySectors: 0x1_2345_6789,
      blockBytes: 1024,
      physicalBlockBytes: 4096,
      segmentsMax: 126,
      queues: 4,
      writeback: true,
    }),
  );
  const expected = [
    '8967452301000000', // capacity
    '00000000', // size_max
    '7e000000', // seg_max
    '00000000', // cylinders, heads, sectors
    '00040000', // blk_size
    '0200', // physical_block_exp, alignment_offset
    '0100', // min_io_size
    '00000000', // opt_io_size
    '0100', // writeback, unused
    '0400', // num_queues
    '00004000', // max_discard_sectors
    '40000000', // max_discard_seg
    '02000000', // discard_sector_alignment
    '00004000', // max_write_zeroes_sectors
    '40000000', // max_write_zeroes_seg
    '01000000', // write_zeroes_may_unmap, unused
  ];
  t.equal(hex, expected.join(''));
  t.equal(hex.length / 2, format.CONFIG_BYTES);
});
