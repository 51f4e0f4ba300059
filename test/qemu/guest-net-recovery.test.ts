// What goes away under a guest's traffic comes back without anybody touching the guest: the tap, the
// daemon, and the guest itself.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DaemonProcess } from '../../src/testing/index.js';
import { whyNoQemuGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { Qmp } from '../guest/qmp.js';
import { ip, tapName, whyNoTap } from '../support/taps.js';

const STEP_LIMIT_MS = 60_000;
const LOOK_MS = 50;
/** Answers that show that it was no straggler. */
const PONGS = 5;
t.setTimeout(4 * STEP_LIMIT_MS);

const HOST_IP = '10.255.211.1';
const skip = whyNoQemuGuest() ?? whyNoTap() ?? false;

t.test('tap deleted, daemon killed, guest rebooted', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'vt-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const socket = join(directory, 's');
  const monitorPath = join(directory, 'm');
  const tap = tapName();
  // It outlives the daemon, with its address.
  t.teardown(() => void spawnSync('ip', ['link', 'del', tap]));
  const start = async () => {
    const daemon = await DaemonProcess.net(socket, ['--tap', tap, '--tap-persist']);
    t.teardown(() => daemon.signal('SIGKILL'));
    return daemon;
  };
  const first = await start();
  await addressed(tap);
  const machine = startQemu({
    numQueues: 1,
    parameters: { vt_role: 'net-recovery', vt_host_ip: HOST_IP, vt_guest_ip: '10.255.211.2' },
    accelerator: await chooseAccelerator(),
    monitorPath,
    devices: [
      ...['-chardev', `socket,id=net,path=${socket},reconnect=1`],
      ...['-netdev', 'vhost-user,id=net0,chardev=net'],
      ...['-device', 'virtio-net-pci,netdev=net0,vectors=0'],
    ],
  });
  t.teardown(() => machine.child.kill());
  const pongs = () => machine.console.guestLines.filter(({ text }) => text === 'pong').length;
  /** The guest hears from the host again and again; milliseconds until then. */
  const answers = async (what: string) => {
    const startedMs = performance.now();
    const wanted = pongs() + PONGS;
    while (pongs() < wanted && performance.now() < startedMs + STEP_LIMIT_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    t.ok(pongs() >= wanted, what);
    t.comment(`${what}: ${Math.round(performance.now() - startedMs)} ms`);
  };
  await answers('pings are answered');
  ip('link', 'del', tap);
  await addressed(tap);
  await answers('after the tap was deleted');
  first.signal('SIGKILL');
  await first.exited;
  const second = await start();
  await answers('after the daemon was killed');
  const monitor = await Qmp.connect(monitorPath);
  await monitor.execute('system_reset');
  const rebooted = () => machine.console.guestLines.filter(({ text }) => text === 'ok boot').length;
  const untilMs = performance.now() + STEP_LIMIT_MS;
  while (rebooted() < 2 && performance.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  t.equal(rebooted(), 2, machine.console.tail(20).join('\n'));
  await answers('after a reboot under traffic');
  monitor.close();
  machine.child.kill();
  await machine.child.exited;
  const { code } = await second.stop();
  t.equal(code, 0);
});

/** Gives the tap its address, as soon as there is one of that name. */
async function addressed(tap: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      ip('addr', 'add', `${HOST_IP}/24`, 'dev', tap);
      ip('link', 'set', tap, 'up');
      return;
    } catch (error) {
      if (attempt === 100) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}
