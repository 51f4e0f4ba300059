import t from 'tap';
import { VSOCK_RST } from '../../src/testing/index.js';
import { vsockScene } from '../support/vsock-scene.js';

t.test('raw packets, and what comes back', async (t) => {
  const scene = await vsockScene(t);
  const driver = await scene.start(t, { receiveBuffers: 2 });
  for (let i = 0; i < 50; i++) {
    await driver.post({ srcPort: i, dstPort: 9, op: 5 }, Buffer.from('x'), [10, 20]);
    const { op, srcPort, dstPort, srcCid, dstCid, length } = await driver.packet();
    t.same([op, srcPort, dstPort, srcCid, dstCid, length], [VSOCK_RST, 9, i, 2n, 42n, 0]);
  }
  t.equal(await driver.packetWithin(20), undefined);
  await t.rejects(driver.packet(20), /no packet within 20 ms/);
  await t.rejects(driver.connect(5, 9), /op 3/);
});
