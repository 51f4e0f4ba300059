import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { DeviceHost } from '../../../src/core/device.js';
import { VsockDevice } from '../../../src/devices/vsock/device.js';
import { vsockOptionsSchema } from '../../../src/devices/vsock/options.js';
import { native } from '../../../src/native/index.js';
import { socketPair, temporaryDirectory } from '../../support/resources.js';

function makeDevice(udsPath?: string): VsockDevice {
  const options = udsPath === undefined ? {} : { udsPath };
  return new VsockDevice(vsockOptionsSchema.parse({ guestCid: 42, ...options }));
}

t.test('what a driver finds', async (t) => {
  const device = makeDevice();
  t.same([device.virtioId, device.numQueues(), device.maxQueueSize()], [19, 3, 1024]);
  t.equal(device.features() & 7n, 7n);
  t.same([...device.getConfig(0, 8)], [42, 0, 0, 0, 0, 0, 0, 0]);
  t.same([...device.getConfig(4, 100)], [0, 0, 0, 0]);
  device.close();
});

t.test('VIRTIO 1.3 §5.10.3: which types of socket the features stand for', async (t) => {
  const device = makeDevice();
  const told: unknown[] = [];
  device.attach({ tellHandlers: async (message) => void told.push(message) } as DeviceHost);
  for (const features of [0n, 1n, 2n, 4n, 6n, 7n]) {
    await device.ackedFeatures(features);
  }
  await device.resetDevice();
  const types = (stream: boolean, seqpacket: boolean) => ({ kind: 'features', stream, seqpacket });
  t.same(told, [
    types(true, false),
    types(true, false),
    types(true, true),
    types(false, false),
    types(false, true),
    types(true, true),
    { kind: 'reset' },
  ]);
  device.close();
});

t.test('sockets live as long as the device', async (t) => {
  const path = join(temporaryDirectory(t), 'v');
  const device = makeDevice(path);
  t.ok(existsSync(path) && existsSync(`${path}_seqpacket`));
  t.throws(() => makeDevice(path), /in use/);
  device.close();
  t.notOk(existsSync(path) || existsSync(`${path}_seqpacket`));
});

t.test('device state', async (t) => {
  const device = makeDevice();
  const [from, to] = socketPair();
  await device.setDeviceState('save', from);
  native.fdClose(from);
  await device.setDeviceState('load', to);
  native.fdClose(to);
  const [bad, end] = socketPair();
  native.hostSend(bad, new Uint8Array(20), 0, 20);
  native.fdClose(bad);
  await t.rejects(device.setDeviceState('load', end), /not the state/);
  native.fdClose(end);
  device.close();
});
