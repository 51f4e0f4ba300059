// A guest on the outside world without any privilege: passt at the host's end, as a user who may do
// nothing, and a web server on the host's loopback.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { notRoot, notRootSkip, startListening } from '../cli/command.js';
import { whyNoQemuGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { until } from '../support/until.js';

/** 15 s on a quiet machine. Debian 12's passt now and then leaves a SYN unanswered for good. */
const RUN_LIMIT_MS = 60_000;
t.setTimeout(2 * RUN_LIMIT_MS);

const MIB = 1 << 20;
const DOWN = randomBytes(8 * MIB);
const GATEWAY = '10.77.0.1';
const GUEST = '10.77.0.2';

const noPasst =
  spawnSync('passt', ['--version']).error === undefined
    ? undefined
    : 'no passt: run "npm run setup"';
const skip = whyNoQemuGuest() ?? noPasst ?? (notRootSkip || false);

t.test('a guest behind passt, nobody being root', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'vt-'));
  chmodSync(directory, 0o777);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const [socket, frames] = [join(directory, 's'), join(directory, 'p')];
  await startPasst(t, frames);
  const flags = ['net', '--socket', socket, '--stream', frames];
  const daemon = await startListening(flags, notRoot, 2 * RUN_LIMIT_MS);
  const { port, received } = await serveWeb(t);
  const startedMs = performance.now();
  const machine = startQemu({
    numQueues: 1,
    parameters: {
      vt_role: 'passt',
      vt_net_mib: 2,
      vt_guest_ip: GUEST,
      vt_gateway: GATEWAY,
      vt_port: port,
    },
    accelerator: await chooseAccelerator(),
    devices: [
      ...['-chardev', `socket,id=net,path=${socket}`],
      ...['-netdev', 'vhost-user,id=net0,chardev=net'],
      ...['-device', 'virtio-net-pci,netdev=net0,vectors=0'],
    ],
  });
  t.teardown(() => machine.child.kill());
  const ended = await machine.console.waitFor('end poweroff', RUN_LIMIT_MS);
  t.ok(ended, machine.console.tail(30).join('\n'));
  t.comment(`${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  const said = machine.console.guestLines.map(({ text }) => text).join('\n');
  const fact = (name: string) => new RegExp(`^fact ${name} (\\S+)$`, 'm').exec(said)?.[1];
  t.equal(fact('down'), createHash('sha256').update(DOWN).digest('hex'), 'from the host');
  t.same(received(), [fact('up')], 'from the guest');
  t.same(machine.console.troubles, []);
  if (!ended) machine.child.kill();
  await machine.child.exited;
  daemon.child.kill('SIGTERM');
  const { code, stderr } = await daemon.outcome;
  t.equal(code, 0, stderr);
});

/** The gateway's address is the host's loopback for the guest. */
async function startPasst(t: Test, path: string): Promise<ChildProcess> {
  const address = ['--address', GUEST, '--netmask', '24', '--gateway', GATEWAY];
  const args = ['--foreground', '--quiet', '--ipv4-only', '--socket', path, ...address];
  const child = spawn('passt', args, { ...notRoot, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (bytes) => {
    said += bytes;
  });
  t.teardown(() => void child.kill('SIGKILL'));
  await until(() => {
    if (child.exitCode !== null) {
      throw new Error(`passt ended: ${said}`);
    }
    return existsSync(path);
  });
  return child;
}

/** A web server on the loopback: answers a posted file, whose sum it remembers, with another. */
async function serveWeb(t: Test): Promise<{ port: number; received: () => readonly string[] }> {
  const sums: string[] = [];
  const http = createServer((request, response) => {
    const hash = createHash('sha256');
    request.on('data', (bytes) => hash.update(bytes));
    request.on('end', () => {
      sums.push(hash.digest('hex'));
      response.setHeader('content-length', DOWN.byteLength);
      response.end(DOWN);
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void http.close());
  const { port } = http.address() as { port: number };
  return { port, received: () => sums };
}
