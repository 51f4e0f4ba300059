// Real Linux guests and their vsock: streams and messages both ways, very many connections, socat on
// both ends, a shell, a web server; under QEMU a reboot and a daemon that starts again, packed rings
// under User-mode Linux.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Running, startListening } from '../cli/command.js';
import { delay } from '../guest/children.js';
import type { GuestConsole, Machine } from '../guest/console.js';
import { whyNoQemuGuest, whyNoUmlGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { Qmp } from '../guest/qmp.js';
import { startUml, VIRTIO_ID_VSOCK } from '../guest/uml.js';
import {
  connectGuest,
  connectMany,
  fetchPage,
  sayAll,
  sayMessages,
  socatEcho,
  talk,
  VsockHost,
} from '../guest/vsock-host.js';
import { freePort } from '../support/free-port.js';
import { temporaryDirectory } from '../support/resources.js';

/** One boot with its work under TCG, on a busy machine; and for each MiB there and back. */
const MIB = Number(process.env.VHOST_TS_VSOCK_MIB ?? 8);
const BOOT_LIMIT_MS = 120_000 + 500 * MIB;
const CID = 4242;
const MANY = 1000;
const GUEST_WEB_PORT = 3002;
const PROGRAMS = ['socat'];
/** What the host says and the guest repeats; what the guest says is in its stage. */
const LENGTHS = [1, 5, 4096, 60_000, 100_000, 7];
const LINES = Array.from({ length: 20 }, (_, i) => `line ${i}`);
t.setTimeout(3 * BOOT_LIMIT_MS);

const PART = randomBytes(1 << 20);
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A daemon with a guest before it, and the host's programs. */
interface Scene {
  readonly socket: string;
  readonly path: string;
  /** Of this host's, through which the guest's web server is reached. */
  readonly webPort: number;
  readonly host: VsockHost;
  daemon: Running;
  /** The same again, with the same words. */
  readonly startDaemon: () => Promise<Running>;
  readonly console: GuestConsole;
}

async function scene(t: Test, start: (socket: string) => Promise<Machine>): Promise<Scene> {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 's');
  const path = join(directory, 'v');
  const webPort = await freePort();
  const args = ['vsock', '--socket', socket, '--guest-cid', `${CID}`, '--uds-path', path];
  const listen = ['--listen', `tcp:127.0.0.1:${webPort}=${GUEST_WEB_PORT}`];
  const startDaemon = () => startListening([...args, ...listen], {}, 3 * BOOT_LIMIT_MS);
  const daemon = await startDaemon();
  const host = new VsockHost(path);
  t.teardown(() => host.close());
  const machine = await start(socket);
  t.teardown(() => machine.child.kill());
  return { socket, path, webPort, host, daemon, startDaemon, console: machine.console };
}

const parameters = { vt_role: 'vsock', vt_fill_mib: MIB, vt_many: MANY };

const DEVICE = { driver: 'vhost-user-vsock-pci', id: 'vsock', bus: 'root0', chardev: 'vsock' };
const monitorOf = (socket: string) => `${socket}.qmp`;
const PLUG_AGAIN_MS = 100;

/** With reconnect=1, for which QEMU 7.2 has this device plugged only once its chardev is connected:
 *  on the command line it fails. */
async function qemu(socket: string): Promise<Machine> {
  const machine = startQemu({
    numQueues: 1,
    parameters,
    accelerator: await chooseAccelerator(),
    programs: PROGRAMS,
    monitorPath: monitorOf(socket),
    devices: [
      '-S',
      ...['-chardev', `socket,id=vsock,path=${socket},reconnect=1`],
      ...['-device', 'pcie-root-port,id=root0,chassis=1'],
    ],
  });
  const qmp = await Qmp.connect(monitorOf(socket));
  await plug(qmp);
  await qmp.execute('cont');
  qmp.close();
  return machine;
}

async function plug(qmp: Qmp): Promise<void> {
  const endMs = performance.now() + BOOT_LIMIT_MS;
  for (;;) {
    try {
      await qmp.execute('device_add', DEVICE);
      return;
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await delay(PLUG_AGAIN_MS);
    }
  }
}

async function uml(socketPath: string): Promise<Machine> {
  return startUml({ socketPath, parameters, virtioId: VIRTIO_ID_VSOCK, programs: PROGRAMS });
}

/** Whether the guest says `text` so many times before it fails. */
async function saidTimes(console: GuestConsole, text: string, times: number): Promise<boolean> {
  const endMs = performance.now() + BOOT_LIMIT_MS;
  while (performance.now() < endMs) {
    if (console.guestLines.filter((line) => line.text === text).length >= times) {
      return true;
    }
    if (console.guestLines.some((line) => line.text.startsWith('FAILED'))) {
      return false;
    }
    await delay(20);
  }
  return false;
}

/** Programs that people use, on both ends. */
async function programs(t: Test, { path, webPort, console, host }: Scene): Promise<void> {
  host.next('socat');
  t.ok(await saidTimes(console, 'mark socat', 1), 'the guest has socat, a shell and a web server');
  t.ok((await socatEcho(path, 3000, PART)).equals(PART), 'socat there and back');
  const { answers, medianMs } = await talk(path, 3001, LINES);
  t.same(
    answers,
    LINES.map((line) => `[42 ${line}]`),
    'a shell',
  );
  t.comment(`a line of the shell: ${medianMs.toFixed(1)} ms`);
  const page = sha(await fetchPage(path, GUEST_WEB_PORT, '/said'));
  t.ok(await saidTimes(console, `fact said ${page}`, 1), 'the web page of the guest');
  const byTcp = await fetch(`http://127.0.0.1:${webPort}/said`);
  t.equal(sha(Buffer.from(await byTcp.arrayBuffer())), page, 'and through --listen');
}

/** What the host does from a boot of the guest's to its end. */
async function boot(t: Test, { path, console }: Scene, count: number): Promise<void> {
  const said = async (text: string, what: string) =>
    t.ok(await saidTimes(console, text, count), what);
  await said('mark listens-2000', 'the guest listens');
  const startMs = performance.now();
  await sayAll(path, 2000, PART, MIB);
  await said('mark listens-2001', 'for messages too');
  const seconds = (performance.now() - startMs) / 1000;
  t.comment(`host to guest, summed there: ${(MIB / seconds).toFixed(1)} MiB/s`);
  t.same(await sayMessages(path, 2001, LENGTHS), LENGTHS, 'messages come back as they went');
  await said('mark listens-2002', 'for very many too');
  t.equal(await connectMany(path, 2002, MANY), MANY, 'very many from the host');
}

/** A host program's connection to the guest's echo, and how it comes to its end. */
async function witness({ path }: Scene): Promise<{ readonly ended: Promise<string> }> {
  const socket = await connectGuest(path, 3000);
  socket.write('there?');
  await once(socket, 'data');
  const ended = Promise.race([
    once(socket, 'end').then(() => 'end'),
    once(socket, 'error').then(([error]) => String(error)),
  ]);
  return { ended: ended.finally(() => socket.destroy()) };
}

/** Once the guest has found its device. */
async function connectWhenThere(path: string, port: number): Promise<Socket> {
  const endMs = performance.now() + BOOT_LIMIT_MS;
  for (;;) {
    try {
      return await connectGuest(path, port);
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await delay(PLUG_AGAIN_MS);
    }
  }
}

/** The daemon ends and starts again. QEMU's chardev comes back by itself; its device has to be
 *  unplugged and plugged, as there is nothing in QEMU that would say our session again. */
async function restart(t: Test, story: Scene): Promise<void> {
  const { ended } = await witness(story);
  story.daemon.child.kill('SIGTERM');
  t.equal((await story.daemon.outcome).code, 0);
  t.equal(await ended, 'end', 'a host program sees a clean end');
  story.daemon = await story.startDaemon();
  const qmp = await Qmp.connect(monitorOf(story.socket));
  t.teardown(() => qmp.close());
  await qmp.execute('device_del', { id: DEVICE.id });
  await qmp.deviceDeleted(DEVICE.id, BOOT_LIMIT_MS);
  await plug(qmp);
  (await connectWhenThere(story.path, 3000)).destroy();
  t.ok((await socatEcho(story.path, 3000, PART)).equals(PART), 'the guest is there again');
}

async function end(t: Test, { console, host }: Scene, word: string): Promise<void> {
  host.next(word);
  t.ok(await saidTimes(console, `end ${word}`, 1), console.tail(20).join('\n'));
}

/** What the guest said of its boots, which are as many as `boots`. */
function judge(t: Test, { console, host }: Scene, boots: number, packed: boolean): void {
  const lines = console.guestLines.map(({ text }) => text);
  const fact = (name: string) =>
    lines
      .filter((text) => text.startsWith(`fact ${name} `))
      .map((text) => text.slice(`fact ${name} `.length).trim());
  const each = (value: string) => new Array(boots).fill(value);
  const whole = createHash('sha256');
  for (let i = 0; i < MIB; i++) {
    whole.update(PART);
  }
  t.same(fact('cid'), each(`${CID}`));
  t.same(fact('packed'), each(packed ? '1' : '0'));
  t.same(fact('sent'), host.sums, 'guest to host');
  t.same(fact('received'), each(whole.digest('hex')), 'host to guest');
  t.same(
    fact('answer'),
    each('').map((_, i) => `answer ${i + 1}`),
    'half-close',
  );
  t.same(fact('messages'), each(LENGTHS.join(' ')));
  t.same(fact('said-messages'), each('1 300 4096 65000 100000 9'), 'messages of the guest');
  t.equal(lines.filter((text) => text === 'ok many').length, boots, `${MANY} at a time`);
  t.same(console.troubles, []);
}

async function stop(t: Test, { daemon, host }: Scene, boots: number): Promise<void> {
  for (let i = 0; i < 100 && host.left < boots; i++) {
    await delay(50);
  }
  t.equal(host.left, boots, 'what the guest left open is closed');
  daemon.child.kill('SIGTERM');
  const { code, stderr } = await daemon.outcome;
  t.equal(code, 0, stderr);
  t.same(
    stderr.split('\n').filter((line) => /"level":[45]0/.test(line)),
    [],
  );
}

t.test('vhost-user-vsock-pci', { skip: whyNoQemuGuest(PROGRAMS) ?? false }, async (t) => {
  const story = await scene(t, qemu);
  await boot(t, story, 1);
  await end(t, story, 'reboot');
  await boot(t, story, 2);
  await programs(t, story);
  await restart(t, story);
  await end(t, story, 'poweroff');
  judge(t, story, 2, false);
  await stop(t, story, 2);
});

t.test('virtio_uml, packed', { skip: whyNoUmlGuest(PROGRAMS) ?? false }, async (t) => {
  const story = await scene(t, uml);
  await boot(t, story, 1);
  await programs(t, story);
  await end(t, story, 'poweroff');
  judge(t, story, 1, true);
  await stop(t, story, 1);
});
