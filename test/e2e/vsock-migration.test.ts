// virtio-vsock that moves to another daemon, with our own front-end: QEMU refuses to migrate a guest with
// this device.

import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { readState } from '../../src/core/device-state/state-pipe.js';
import { native } from '../../src/native/index.js';
import { TestFrontend, VsockDriver } from '../../src/testing/index.js';
import { socketPair } from '../support/resources.js';
import { GUEST_CID, nextChunk, type VsockScene, vsockScene } from '../support/vsock-scene.js';

const PORT = 9;
const STATE_BYTES_MAX = 4096;
const EVENT_QUEUE = 2;

async function save({ frontend }: TestFrontend): Promise<Uint8Array> {
  const [from, to] = socketPair();
  await frontend.setDeviceStateFd('save', from);
  native.fdClose(from);
  const state = await readState(to, STATE_BYTES_MAX);
  native.fdClose(to);
  await frontend.checkDeviceState();
  return state;
}

async function load({ frontend }: TestFrontend, state: Uint8Array): Promise<void> {
  const [from, to] = socketPair();
  await frontend.setDeviceStateFd('load', to);
  native.fdClose(to);
  native.hostSend(from, state, 0, state.byteLength);
  native.fdClose(from);
  await frontend.checkDeviceState();
}

/** A connection of the guest's that has said something, and the host's end of it. */
async function talk(t: Test, scene: VsockScene, driver: VsockDriver): Promise<Socket> {
  const served = new Promise<Socket>((resolve) => void scene.listen(t, PORT, resolve));
  const guest = await driver.connect(5000, PORT);
  const host = await served;
  await driver.send(guest, Buffer.from('here'));
  t.equal(await nextChunk(host), 'here');
  return host;
}

t.test('VS-037 state saved and loaded, TRANSPORT_RESET, then it works again', async (t) => {
  const source = await vsockScene(t);
  const driver = await source.start(t);
  const host = await talk(t, source, driver);
  const [base = 0] = await driver.frontend.stopQueues();
  const state = await save(driver.frontend);
  const closed = new Promise((resolve) => host.once('close', resolve));
  driver.frontend.frontend.close();
  host.end();
  await closed;
  t.pass('the host sees its connection end');

  const target = await vsockScene(t);
  const moved = new TestFrontend({ socket: target.daemon.socket, queues: 3, base });
  t.teardown(() => moved.close());
  await moved.negotiate();
  await load(moved, state);
  await moved.startQueues();
  const offset = moved.memory.allocate(4);
  moved.memory.bytes.fill(9, offset, offset + 4);
  const event = moved.queue(EVENT_QUEUE);
  event.driver.add([{ offset, bytes: 4, writable: true }]);
  event.driver.publish();
  event.kick();
  t.ok(await event.signalled(event.callFd), 'told at once');
  t.equal(moved.memory.view.getUint32(offset, true), 0, 'TRANSPORT_RESET');
  await talk(t, target, new VsockDriver(moved, { guestCid: GUEST_CID }));
});

t.test(
  'VS-037 what is no state of a vsock device is refused, and the device serves on',
  async (t) => {
    const scene = await vsockScene(t);
    const frontend = new TestFrontend({ socket: scene.daemon.socket, queues: 3 });
    t.teardown(() => frontend.close());
    await frontend.negotiate();
    await t.rejects(load(frontend, new Uint8Array(20)));
    await frontend.startQueues();
    await talk(t, scene, new VsockDriver(frontend, { guestCid: GUEST_CID }));
  },
);
