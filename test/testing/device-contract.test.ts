import t from 'tap';
import type { VirtioDevice } from '../../src/core/device.js';
import { contractFaults } from '../../src/testing/index.js';
import { RecordingDevice } from '../support/session-rig.js';

const bad = (values: Partial<VirtioDevice>): VirtioDevice =>
  Object.assign(new RecordingDevice(), values);

t.test('each rule can be broken', async (t) => {
  t.same(contractFaults(new RecordingDevice()), []);
  let calls = 0;
  const rows: readonly (readonly [Partial<VirtioDevice>, RegExp])[] = [
    [{ name: 'Two Words' }, /kebab-case/],
    [{ virtioId: 0 }, /device type/],
    [{ numQueues: () => 0 }, /numQueues\(\) is 0/],
    [{ numQueues: () => 257 }, /257/],
    [{ numQueues: () => ++calls }, /changes/],
    [{ maxQueueSize: () => 100 }, /power of two/],
    [{ maxQueueSize: () => 65536 }, /65536/],
    [{ queuesPerThread: () => [1n] }, /queuesPerThread\(2\) gives 1/],
    [{ queuesPerThread: (n) => new Array(n).fill(1n) }, /two workers/],
    [{ features: () => 0n }, /VERSION_1/],
    [{ features: () => (1n << 32n) | (1n << 30n) }, /framework/],
    [{ protocolFeatures: () => 1n << 40n }, /unknown bits 0x10000000000/],
    [{ getConfig: () => new Uint8Array(300) }, /300 bytes/],
    [{ getConfig: () => new Uint8Array(4) }, /differs/],
  ];
  for (const [values, says] of rows) {
    const faults = contractFaults(bad(values));
    t.equal(faults.length, 1, faults.join('; '));
    t.match(faults[0], says);
  }
});
