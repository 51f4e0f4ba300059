import t from 'tap';
import { BLK_IN, STATUS_OK, segmentList } from '../../src/testing/index.js';
import { startDisk } from '../support/disk.js';

t.test('segment lists as VIRTIO 1.3 §5.2.6 has them', async (t) => {
  const bytes = segmentList([{ sector: 0x0102, sectors: 3, flags: 1 }]);
  t.equal(Buffer.from(bytes).toString('hex'), '02010000000000000300000001000000');
});

t.test('results come in the order asked, errors throw', async (t) => {
  const disk = await startDisk(t);
  const { driver, end } = await disk.connect();
  await driver.write(8, new Uint8Array(512).fill(8));
  const results = await driver.requests([
    { type: BLK_IN, sector: 8, inBytes: 512 },
    { type: BLK_IN, sector: 0, inBytes: 1024 },
  ]);
  t.same(
    results.map(({ status, usedBytes, data }) => [status, usedBytes, data[0]]),
    [
      [STATUS_OK, 513, 8],
      [STATUS_OK, 1025, 0],
    ],
  );
  await t.rejects(driver.read(1 << 20, 512), /status 1/);
  await end();
});
