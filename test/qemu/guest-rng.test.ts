// A real Linux guest reads random bytes from the thirty-line entropy device.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startListening } from '../cli/command.js';
import { checkoutDir, whyNoQemuGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';

/** One boot under TCG, the accelerator looked for before, on a busy machine. */
const BOOT_LIMIT_MS = 90_000;
t.setTimeout(2 * BOOT_LIMIT_MS);

t.test('/dev/hwrng', { skip: whyNoQemuGuest() ?? false }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'vt-'));
  const socket = join(directory, 's');
  t.teardown(() => rmSync(directory, { recursive: true }));
  const entropy = join(checkoutDir(), 'dist/examples/entropy.js');
  const daemon = await startListening(['run', entropy, '--socket', socket], {}, 2 * BOOT_LIMIT_MS);
  const machine = startQemu({
    numQueues: 1,
    parameters: { vt_role: 'rng' },
    accelerator: await chooseAccelerator(),
    devices: [
      ...['-chardev', `socket,id=rng,path=${socket}`],
      ...['-device', 'vhost-user-rng-pci,chardev=rng'],
    ],
  });
  t.teardown(() => machine.child.kill());
  const ended = await machine.console.waitFor('end poweroff', BOOT_LIMIT_MS);
  const said = machine.console.guestLines.map(({ text }) => text).join('\n');
  t.ok(ended, machine.console.tail(20).join('\n'));
  const [first, second] = [...said.matchAll(/^fact random (\w+)$/gm)].map(([, hex]) => hex);
  t.match(said, /^fact rng virtio_rng/m);
  t.match(first, /^[0-9a-f]{64}$/);
  t.match(second, /^[0-9a-f]{64}$/);
  t.not(first, second);
  t.same(machine.console.troubles, []);
  await machine.child.exited;
  daemon.child.kill('SIGTERM');
  const { code, stderr } = await daemon.outcome;
  t.equal(code, 0, stderr);
  t.notMatch(stderr, /"level":[45]0/);
});
