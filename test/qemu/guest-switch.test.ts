// Two real Linux guests at one switch: one in an access port, one that tags its frames; bytes both
// ways over TCP with checksums, and a VLAN that stays apart.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startListening } from '../cli/command.js';
import { whyNoQemuGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { until } from '../support/until.js';

/** Two boots under TCG on a busy machine. */
const RUN_LIMIT_MS = 120_000;
t.setTimeout(2 * RUN_LIMIT_MS);

const MIB = 8;

t.test('access port and trunk', { skip: whyNoQemuGuest() ?? false }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'vt-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const sockets = [join(directory, 'a'), join(directory, 'b')] as const;
  const rules = ['--port', '1:access=10', '--port', '2:trunk=10+20'];
  const flags = ['--switch', 'lan', '--socket', sockets[0], '--socket', sockets[1], ...rules];
  const daemon = await startListening(['net', ...flags], {}, 2 * RUN_LIMIT_MS);
  await until(() => existsSync(sockets[1]));
  const accelerator = await chooseAccelerator();
  const boot = (index: 0 | 1, parameters: Readonly<Record<string, string | number>>) => {
    const machine = startQemu({
      numQueues: 1,
      parameters: { vt_role: 'switch', vt_net_mib: MIB, ...parameters },
      accelerator,
      devices: [
        ...['-chardev', `socket,id=net,path=${sockets[index]}`],
        ...['-netdev', 'vhost-user,id=net0,chardev=net'],
        ...['-device', `virtio-net-pci,netdev=net0,vectors=0,mac=52:54:00:00:10:0${index}`],
      ],
    });
    t.teardown(() => machine.child.kill());
    return machine;
  };
  const startedMs = performance.now();
  const server = boot(1, {
    vt_vlan: 10,
    vt_serves: 1,
    vt_guest_ip: '10.10.0.2',
    vt_other_vlan: 20,
    vt_other_ip: '10.20.0.2',
  });
  const client = boot(0, {
    vt_vlan: 0,
    vt_serves: 0,
    vt_guest_ip: '10.10.0.1',
    vt_peer_ip: '10.10.0.2',
    vt_other_own: '10.20.0.1',
    vt_other_ip: '10.20.0.2',
  });
  for (const machine of [client, server]) {
    const ended = await machine.console.waitFor('end poweroff', RUN_LIMIT_MS);
    t.ok(ended, machine.console.tail(30).join('\n'));
    t.same(machine.console.troubles, []);
  }
  t.comment(`${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  const said = (machine: typeof client) =>
    machine.console.guestLines.map(({ text }) => text).join('\n');
  const fact = (machine: typeof client, name: string) =>
    new RegExp(`^fact ${name} (\\S+)$`, 'm').exec(said(machine))?.[1];
  t.match(said(client), /^ok large-ping$/m);
  t.match(said(client), /^ok other-vlan$/m, 'frames of another VLAN do not arrive');
  t.ok(fact(server, 'own-sum'));
  t.equal(fact(client, 'down'), fact(server, 'own-sum'), 'from the trunk');
  t.equal(fact(server, 'received'), fact(client, 'own-sum'), 'to the trunk');
  t.equal(fact(client, 'errors'), '0');
  await Promise.all([client.child.exited, server.child.exited]);
  daemon.child.kill('SIGTERM');
  const { code, stderr } = await daemon.outcome;
  t.equal(code, 0, stderr);
  t.notMatch(stderr, /"level":[45]0/);
});
