// A real driver that has the control queue of ours: User-mode Linux hands every queue over. Its
// address, promiscuous mode and VLAN filters take effect; ethtool reads and changes what there is.

import t from 'tap';
import { whyNoUmlGuest } from '../guest/kernels.js';
import { startUml, VIRTIO_ID_NET } from '../guest/uml.js';
import { startCard } from '../support/card.js';
import { frame, HOST_MAC } from '../support/frames.js';
import { Wire, whyNoTap } from '../support/taps.js';
import { until } from '../support/until.js';

const RUN_LIMIT_MS = 60_000;
t.setTimeout(2 * RUN_LIMIT_MS);

/** Often enough that half a second has dozens. */
const SEND_MS = 10;
const GUEST_SETS = '52:54:00:77:00:01';
const STRANGER = '52:54:00:77:00:02';
const CONTROL_QUEUE = 2;

const PROGRAMS = ['ethtool'];
const skip = whyNoUmlGuest(PROGRAMS) ?? whyNoTap() ?? false;

t.test('address, promiscuous mode, VLANs, ethtool', { skip }, async (t) => {
  const wire = new Wire(t);
  const card = await startCard(t, { tap: wire.tap, mac: '52:54:00:77:00:00' });
  const tagged = frame(100, 2, GUEST_SETS, HOST_MAC);
  tagged.set([0x81, 0, 0, 5], 12);
  const sender = setInterval(() => {
    wire.send(frame(100, 1, STRANGER, HOST_MAC));
    wire.send(tagged);
  }, SEND_MS);
  t.teardown(() => clearInterval(sender));
  const machine = startUml({
    socketPath: card.socket,
    virtioId: VIRTIO_ID_NET,
    programs: PROGRAMS,
    parameters: {
      vt_role: 'net-control',
      vt_mac: GUEST_SETS,
      vt_mtu: 1400,
      vt_pairs: 1,
      vt_offloads: 'tx-checksumming',
      vt_coalesce: 'yes',
    },
  });
  t.teardown(() => machine.child.kill());
  t.ok(
    await machine.console.waitFor('stage net-control', RUN_LIMIT_MS),
    machine.console.tail(30).join('\n'),
  );
  await until(() => Buffer.from(card.device.getConfig(0, 6)).toString('hex') === '525400770001');
  t.pass('the guest has set its address');
  t.ok(
    await machine.console.waitFor('end poweroff', RUN_LIMIT_MS),
    machine.console.tail(30).join('\n'),
  );
  const said = machine.console.guestLines.map(({ text }) => text);
  t.comment(said.join('\n'));
  for (const step of ['quiet', 'promisc', 'quiet-again', 'vlan', 'no-vlan']) {
    t.ok(said.includes(`ok ${step}`), step);
  }
  t.ok(said.includes('fact packed 1'), 'packed rings, the control queue too');
  t.ok(said.includes('fact driver virtio_net '), 'driver');
  t.ok(said.includes('fact speed 10000Mb/s'), 'speed');
  t.ok(said.includes('fact tx-checksumming-now off '), 'a feature changed');
  t.ok(said.includes('fact coalesce 50 8 60 9 '), 'calls are held back');
  const { packets, drops } = card.device.counts(CONTROL_QUEUE);
  t.ok(packets >= 6, `${packets} control commands`);
  t.equal(drops.command, 0, 'none refused');
  t.ok(card.device.counts(0).drops.filtered > 20, 'frames filtered');
  t.same(machine.console.troubles, []);
});
