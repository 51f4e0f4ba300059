import t from 'tap';
import {
  CONFIG_BYTES,
  encodeConfig,
  FRAME_BYTES_MAX,
  HEADER_BYTES,
} from '../../../src/devices/net/format.js';

t.test('config space (VIRTIO 1.3 §5.1.4)', async (t) => {
  const mac = Uint8Array.from([1, 2, 3, 4, 5, 6]);
  const bytes = encodeConfig({ mac, status: 1, pairs: 4, mtu: 9000 });
  t.equal(bytes.byteLength, CONFIG_BYTES);
  t.equal(
    Buffer.from(bytes).toString('hex'),
    `0102030405060100040028231027000001${'00'.repeat(7)}`,
  );
});

t.test('the longest frame with its header is what buffers without merging have', async (t) => {
  t.equal(FRAME_BYTES_MAX + HEADER_BYTES, 65562);
});
