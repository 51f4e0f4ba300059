import t from 'tap';
import * as format from '../../../src/devices/vsock/format.js';
import { toHex } from '../../core/protocol/hex.js';

t.test('feature bits', async (t) => {
  t.same(
    [
      format.VIRTIO_VSOCK_F_STREAM,
      format.VIRTIO_VSOCK_F_SEQPACKET,
      format.VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
    ],
    [1n, 2n, 4n],
  );
});

t.test('config space', async (t) => {
  t.equal(toHex(format.encodeConfig(0x0102_0304)).replace(/\s/g, ''), '0403020100000000');
});

t.test('a header, byte by byte', async (t) => {
  const header = new format.HeaderWriter();
  header.addresses(2, 0x11223344, 42, 0xffff_fffe);
  header.content(2, 5, 1, 0x1000);
  header.credit(0x40000, 0xfffffff0);
  t.equal(
    toHex(header.bytes).replace(/\s/g, ''),
    [
      '0200000000000000',
      '2a00000000000000',
      '44332211',
      'feffffff',
      '00100000',
      '0200',
      '0500',
      '01000000',
      '00000400',
      'f0ffffff',
    ].join(''),
  );
  header.words64(format.WORD_DST_CID, 7, 9);
  t.equal(toHex(header.bytes.subarray(8, 16)).replace(/\s/g, ''), '0700000009000000');
});
