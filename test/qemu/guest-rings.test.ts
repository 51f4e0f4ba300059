// What QEMU can make a guest's rings like, all in one boot: a disk for each row, each with a daemon
// of its own. The guest writes and reads every disk and tells the features its driver took.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { imageFile, startListening, temporaryDirectory } from '../cli/command.js';
import { whyNoQemuGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';

/** One boot under TCG with fourteen disks takes 15 s on two idle cores. */
const BOOT_LIMIT_MS = 120_000;
t.setTimeout(2 * BOOT_LIMIT_MS);

const DISK_BYTES = 8 << 20;

interface Row {
  readonly name: string;
  /** More properties of the device. */
  readonly properties: string;
  /** Bits 28, 29 and 34: indirect descriptors, event index, packed. */
  readonly features: string;
}

/** Formats and features, then sizes, of which the small ones need tables for a request. QEMU 7.2 has
 *  no IN_ORDER. */
const ROWS: readonly Row[] = [
  { name: 'split', properties: '', features: '110' },
  { name: 'no-event', properties: ',event_idx=off', features: '100' },
  { name: 'no-table', properties: ',indirect_desc=off', features: '010' },
  { name: 'bare', properties: ',event_idx=off,indirect_desc=off', features: '000' },
  { name: 'packed', properties: ',packed=on', features: '111' },
  { name: 'p-no-event', properties: ',packed=on,event_idx=off', features: '101' },
  { name: 'p-no-table', properties: ',packed=on,indirect_desc=off', features: '011' },
  { name: 'p-bare', properties: ',packed=on,event_idx=off,indirect_desc=off', features: '001' },
  ...[2, 8, 64, 1024].map((size) => ({
    ...{ name: `size-${size}`, properties: `,queue-size=${size}`, features: '110' },
  })),
  ...[2, 1024].map((size) => ({
    name: `p-size-${size}`,
    properties: `,packed=on,queue-size=${size}`,
    features: '111',
  })),
];

t.test('rings of every kind in one guest', { skip: whyNoQemuGuest() ?? false }, async (t) => {
  const directory = temporaryDirectory();
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const daemons = [];
  for (const { name } of ROWS) {
    const image = imageFile(directory, `${name}.img`, DISK_BYTES);
    const args = ['blk', '--image', image, '--serial', name, '--socket', join(directory, name)];
    daemons.push(await startListening(args, {}, 2 * BOOT_LIMIT_MS));
  }
  const machine = startQemu({
    numQueues: 1,
    parameters: { vt_role: 'rings' },
    accelerator: await chooseAccelerator(),
    devices: ROWS.flatMap(({ name, properties }) => [
      ...['-chardev', `socket,id=${name},path=${join(directory, name)}`],
      ...['-device', `vhost-user-blk-pci,chardev=${name},num-queues=1${properties}`],
    ]),
  });
  t.teardown(() => machine.child.kill());
  const ended = await machine.console.waitFor('end poweroff', BOOT_LIMIT_MS);
  const said = new Set(machine.console.guestLines.map(({ text }) => text));
  t.ok(ended, machine.console.tail(30).join('\n'));
  for (const { name, features } of ROWS) {
    t.ok(said.has(`ok disk ${name}`), `${name}: written and read`);
    t.ok(said.has(`fact features ${name} ${features}`), `${name}: features ${features}`);
  }
  t.same(machine.console.troubles, []);
  await machine.child.exited;
  for (const [i, { child, outcome }] of daemons.entries()) {
    child.kill('SIGTERM');
    const { code, stderr } = await outcome;
    t.equal(code, 0, `${ROWS[i]?.name}: ${stderr}`);
    t.notMatch(stderr, /"level":[45]0/);
  }
});
