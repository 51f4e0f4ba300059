import t from 'tap';
import { ChainDriver, testDevice, UNWRITTEN } from '../../src/testing/index.js';
import { keeper } from '../fixtures/defined-devices.js';

t.test('chains go and come back in every shape', async (t) => {
  const faults = await testDevice(keeper, async (driver) => {
    t.ok(driver instanceof ChainDriver);
    const said = Uint8Array.from({ length: 100 }, (_, i) => i);
    for (const shape of [{}, { pieceBytes: 7 }, { indirect: true, pieceBytes: 33 }]) {
      const { usedBytes, bytes } = await driver.send(0, said, 120, shape);
      t.equal(usedBytes, 100);
      t.same([...bytes.subarray(0, 100)], [...said]);
      t.ok(bytes.subarray(100).every((byte) => byte === UNWRITTEN));
    }
    const many = Array.from({ length: 20 }, (_, i) => driver.offer(0, Uint8Array.of(i), 4));
    for (const [i, offered] of many.entries()) {
      t.equal((await driver.returned(offered)).bytes[0], i);
    }
    driver.offer(1, said, 1);
    t.throws(() => driver.offer(1, new Uint8Array(0), 0), RangeError);
    t.equal(driver.pending, 1, 'queue 1 keeps');
  });
  t.same(faults, []);
});
