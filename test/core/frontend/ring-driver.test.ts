import t from 'tap';
import {
  createRingDriver,
  DriverRing,
  PackedDriverRing,
  SharedMemory,
} from '../../../src/core/frontend/index.js';

t.test('a driver of the kind asked for, of the same face', async (t) => {
  const memory = new SharedMemory({ sizeBytes: 1 << 16 });
  t.teardown(() => memory.close());
  const rows = [
    [{ base: 7 }, DriverRing, 7, 8],
    [{ packed: false }, DriverRing, 0, 1],
    [{ packed: true }, PackedDriverRing, 0x8000_8000, 0x8001_8001],
    [{ packed: true, base: 3 }, PackedDriverRing, 0x0003_0003, 0x8000_8000],
  ] as const;
  for (const [options, kind, before, after] of rows) {
    const driver = createRingDriver(memory, { size: 4, eventIdx: true, ...options });
    t.ok(driver instanceof kind, JSON.stringify(options));
    t.equal(driver.resumeBase, before);
    driver.add([{ offset: 0, bytes: 1, writable: true }]);
    driver.publish();
    t.same([driver.resumeBase, driver.freeCount, driver.hasUsed], [after, 3, false]);
  }
});
