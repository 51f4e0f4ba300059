// What the data half of a switch makes of chains and queues of all its guests.

import t from 'tap';
import { hasFeature, VIRTIO_F_RING_PACKED } from '../../../../src/core/protocol/index.js';
import { frame, GUEST_MAC, HOST_MAC, macBytes } from '../../../support/frames.js';
import { startSwitch } from '../../../support/switch-rig.js';
import { tagged } from '../../../support/vlan-frames.js';

t.test('bad frames of each port are its own (NT-001, NT-003, NT-004, NT-006)', async (t) => {
  const rig = await startSwitch(t, ['', '']);
  for (const port of [0, 1]) {
    const guest = await rig.connect(port);
    for (const bytes of [1, 11, 12, 13, 12 + 13]) {
      const { usedBytes } = await guest.driver.chains.send(1, new Uint8Array(bytes), 0);
      t.equal(usedBytes, 0, `port ${port}, chain of ${bytes} bytes`);
    }
    await guest.driver.transmit(frame(65_551));
    const header = Uint8Array.of(1, 2, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0);
    await guest.driver.transmit(frame(1514), { header });
    t.match(guest.sent(), { packets: 0, drops: { length: 6, header: 1 } });
    await guest.end();
  }
});

t.test('receive chains too short for a header, and the third queue (NT-012)', async (t) => {
  const rig = await startSwitch(t, ['', '']);
  const guest = await rig.connect(0, { queues: 3 });
  const short = guest.driver.chains.offer(0, new Uint8Array(0), 11);
  t.equal((await guest.driver.chains.returned(short)).usedBytes, 0);
  const { usedBytes } = await guest.driver.chains.send(2, new Uint8Array(4), 1);
  t.equal(usedBytes, 0, 'no control queue was negotiated');
  await guest.end();
});

t.test('SEND_RARP: the others learn where the address is now', async (t) => {
  const rig = await startSwitch(t, ['access=7', 'trunk=7', 'access=8']);
  const guests = [await rig.connect(0), await rig.connect(1), await rig.connect(2)] as const;
  for (const { driver } of guests) {
    driver.post(16, 2048);
  }
  await guests[0].frontend.frontend.sendRarp(macBytes(GUEST_MAC));
  const { frame: said } = await guests[1].driver.receive();
  t.same([...said.subarray(12, 18)], [0x81, 0, 0, 7, 0x80, 0x35], 'a RARP in its VLAN');
  t.same([...said.subarray(6, 12)], [...macBytes(GUEST_MAC)]);
  t.equal(guests[2].received().packets, 0, 'and in no other');
  await guests[1].driver.transmit(tagged(frame(90, 1, GUEST_MAC, HOST_MAC), 7));
  t.equal((await guests[0].driver.receive()).frame.byteLength, 90);
  await Promise.all(guests.map(({ end }) => end()));
});

t.test('packed rings beside split ones', async (t) => {
  const rig = await startSwitch(t, ['', '']);
  const packed = await rig.connect(0, { packed: true });
  const split = await rig.connect(1);
  for (const guest of [packed, split]) {
    guest.driver.post(16, 2048);
  }
  for (let i = 0; i < 10; i++) {
    await packed.driver.transmit(frame(700 + i, i));
    t.equal((await split.driver.receive()).frame.byteLength, 700 + i);
    await split.driver.transmit(frame(800 + i, i));
    t.equal((await packed.driver.receive()).frame.byteLength, 800 + i);
  }
  t.ok(hasFeature(packed.frontend.features, VIRTIO_F_RING_PACKED));
  await packed.end();
  await split.end();
});
