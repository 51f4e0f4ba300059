import t from 'tap';
import { hasFeature, VIRTIO_F_RING_PACKED } from '../../src/core/protocol/index.js';
import { type ChainDriver, testDevice } from '../../src/testing/index.js';
import { broken, keeper, unopenable } from '../fixtures/defined-devices.js';
import { openDescriptors } from '../support/resources.js';
import { RecordingDevice } from '../support/session-rig.js';

t.test('a good device has no faults, and nothing of the run is left', async (t) => {
  const before = openDescriptors();
  t.same(await testDevice(keeper), []);
  t.same(await testDevice(new RecordingDevice(), undefined, { workers: 2 }), []);
  t.same(await testDevice(unopenable, undefined, { options: { fine: true } }), []);
  t.equal(openDescriptors(), before);
});

for (const packed of [false, true]) {
  t.test(`the device does not see which rings it is on (packed: ${packed})`, async (t) => {
    const use = async (driver: ChainDriver) => {
      t.equal(hasFeature(driver.frontend.features, VIRTIO_F_RING_PACKED), packed);
      const { usedBytes } = await driver.send(0, new Uint8Array(16), 64);
      t.equal(usedBytes, 16);
    };
    t.same(await testDevice(keeper, use, { packed }), []);
  });
}

t.test('a device that throws is told of', async (t) => {
  const faults = await testDevice(broken, async (driver) => {
    driver.offer(0, new Uint8Array(1), 1);
    const [queue] = driver.frontend.queues;
    await queue?.signalled(queue.errFd);
  });
  t.match(faults.join('\n'), /the device failed[\s\S]*a bug of the author[\s\S]*did not come back/);
});

t.test('a worker that can not start', async (t) => {
  await t.rejects(testDevice(unopenable), { name: 'VhostUserError' });
});

t.test('a device outside the contract is not served', async (t) => {
  const device = new RecordingDevice();
  device.features = () => 1n;
  const faults = await testDevice(device, async () => {
    t.fail('served');
  });
  t.same(faults, ['features() lacks VIRTIO_F_VERSION_1']);
});

t.test('what the test throws is thrown', async (t) => {
  await t.rejects(
    testDevice(keeper, async () => {
      throw new Error('mine');
    }),
    { message: 'mine' },
  );
});
