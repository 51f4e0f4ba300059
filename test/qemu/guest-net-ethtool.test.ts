// What a guest behind QEMU, which keeps the control queue to itself, reads and changes of our card.

import t from 'tap';
import { whyNoQemuGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { startCard } from '../support/card.js';

const RUN_LIMIT_MS = 90_000;
const PAIRS = 4;
t.setTimeout(2 * RUN_LIMIT_MS);

const PROGRAMS = ['ethtool'];
const skip = whyNoQemuGuest(PROGRAMS) ?? false;

t.test('features and channels', { skip }, async (t) => {
  const card = await startCard(t, { null: true, queuePairs: PAIRS });
  const machine = startQemu({
    numQueues: PAIRS,
    programs: PROGRAMS,
    parameters: {
      vt_role: 'net-ethtool',
      vt_pairs: PAIRS,
      vt_offloads: 'tx-checksumming,tx-tcp-segmentation,rx-gro-hw',
      vt_coalesce: 'no',
    },
    accelerator: await chooseAccelerator(),
    devices: [
      ...['-chardev', `socket,id=net,path=${card.socket}`],
      ...['-netdev', `vhost-user,id=net0,chardev=net,queues=${PAIRS}`],
      ...['-device', 'virtio-net-pci,netdev=net0,mq=on,vectors=0'],
    ],
  });
  t.teardown(() => machine.child.kill());
  t.ok(
    await machine.console.waitFor('end poweroff', RUN_LIMIT_MS),
    machine.console.tail(30).join('\n'),
  );
  const said = machine.console.guestLines.map(({ text }) => text.trim());
  for (const line of [
    'fact driver virtio_net',
    // As many as there can be, and as many as there are: one for each processor.
    `fact channels ${PAIRS} ${PAIRS}`,
    `fact channels-now ${PAIRS} 1`,
    'ok channels-back',
    'fact tx-checksumming on',
    'fact tx-checksumming-now off',
    'fact tx-tcp-segmentation on',
    'fact tx-tcp-segmentation-now off',
    'fact rx-gro-hw on',
    'fact rx-gro-hw-now off',
  ]) {
    t.ok(said.includes(line), line);
  }
  t.comment(said.join('\n'));
  t.same(machine.console.troubles, []);
});
