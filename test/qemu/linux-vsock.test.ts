// Linux's own vsock test program between a guest and this host, which takes part by UNIX sockets
// (test/guest/vsock-over-unix.h). `node scripts/linux-vsock-test.js` fetches and builds it,
// VHOST_TS_VSOCK_TEST=6.1 runs it: two of its tests measure time, which a busy machine spoils. Results
// are in docs/reference/vsock-tests.md.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { startListening } from '../cli/command.js';
import { within } from '../guest/children.js';
import type { GuestConsole } from '../guest/console.js';
import { whyNoQemuGuest } from '../guest/kernels.js';
import {
  failureOf,
  GUEST_PROGRAM,
  HOST_PROGRAM,
  LINUX_VERSION,
  type Mode,
  nextLine,
  only,
  TEST_LIMIT_MS,
  testCases,
  Words,
  whyNoLinuxTest,
} from '../guest/linux-vsock.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { freePort } from '../support/free-port.js';
import { temporaryDirectory } from '../support/resources.js';

const CID = 4242;
/** Where the guest's control channel listens; slirp forwards a port of ours to it. */
const GUEST_PORT = 7000;
const RUN_LIMIT_MS = 900_000;
t.setTimeout(RUN_LIMIT_MS);

const MODES: readonly Mode[] = ['client', 'server'];

/** What can't pass, by the guest's role: what the host's end looks at are UNIX sockets, which know no
 *  MSG_EOR, say EFAULT where vsock says ENOMEM, and poll without regard to SO_RCVLOWAT. */
const FAILS: Readonly<Record<Mode, readonly string[]>> = {
  client: ['SOCK_SEQPACKET msg bounds', 'SOCK_SEQPACKET invalid receive buffer'],
  server: ['SOCK_SEQPACKET msg bounds', 'SOCK_STREAM poll() + SO_RCVLOWAT'],
};

interface Rig {
  readonly console: GuestConsole;
  readonly words: Words;
  readonly uds: string;
  readonly forwardedPort: number;
}

/** Our end of a test; resolves with what it said last, empty when it succeeded. */
function hostEnd(t: Test, { uds }: Rig, mode: Mode, port: number, skip: readonly string[]) {
  const args = [`--mode=${mode}`, '--control-host=127.0.0.1', `--control-port=${port}`];
  const child = spawn(HOST_PROGRAM, [...args, `--peer-cid=${CID}`, ...skip], {
    env: { ...process.env, VSOCK_UDS: uds },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  const take = (text: Buffer) => {
    said += String(text);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const ended = once(child, 'close').then(([status]) =>
    status === 0 ? '' : `${status}: ${said.trim().split('\n').at(-1)}`,
  );
  return { ended, listening: listening(child.stdout, ended) };
}

async function listening(output: Readable, ended: Promise<string>): Promise<void> {
  const said = new Promise<void>((resolve) => {
    output.on('data', (text) => String(text).includes('listening on') && resolve());
  });
  await Promise.race([said, ended]);
}

/** One test in the guest and here; what went wrong. */
async function play(t: Test, rig: Rig, mode: Mode, id: number, count: number): Promise<string> {
  const skip = only(id, count);
  const result = nextLine(rig.console, 'result ');
  const word = (port: number) => rig.words.say(`${mode} ${port} ${skip.join(' ')}`);
  let end: ReturnType<typeof hostEnd>;
  if (mode === 'client') {
    const port = await freePort();
    end = hostEnd(t, rig, 'server', port, skip);
    await end.listening;
    word(port);
  } else {
    const serves = nextLine(rig.console, 'mark serves');
    word(GUEST_PORT);
    await serves;
    end = hostEnd(t, rig, 'client', rig.forwardedPort, skip);
  }
  const [guest, host = 'no end'] = await Promise.all([result, within(end.ended, TEST_LIMIT_MS)]);
  return [failureOf(guest), host].filter((text) => text !== '').join(' | ');
}

async function start(t: Test): Promise<Rig> {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 's');
  const uds = join(directory, 'v');
  const args = ['vsock', '--socket', socket, '--guest-cid', `${CID}`, '--uds-path', uds];
  const daemon = await startListening(args, {}, RUN_LIMIT_MS);
  t.teardown(() => daemon.child.kill());
  const words = new Words(uds);
  t.teardown(() => words.close());
  const forwardedPort = await freePort();
  const machine = startQemu({
    numQueues: 1,
    parameters: { vt_role: 'vsock-test', vt_guest_ip: '10.0.2.15', vt_peer_ip: '10.0.2.2' },
    accelerator: await chooseAccelerator(),
    programs: [GUEST_PROGRAM],
    devices: [
      ...['-chardev', `socket,id=vsock,path=${socket}`],
      ...['-device', 'vhost-user-vsock-pci,chardev=vsock'],
      ...['-netdev', `user,id=net,hostfwd=tcp:127.0.0.1:${forwardedPort}-:${GUEST_PORT}`],
      ...['-device', 'virtio-net-pci,netdev=net,romfile='],
    ],
  });
  t.teardown(() => machine.child.kill());
  return { console: machine.console, words, uds, forwardedPort };
}

const skip = whyNoLinuxTest(whyNoQemuGuest()) ?? false;

t.test(`vsock_test of Linux ${LINUX_VERSION}`, { skip }, async (t) => {
  const rig = await start(t);
  const cases = testCases();
  t.ok(cases.length > 0);
  for (const mode of MODES) {
    for (const { id, name } of cases) {
      const wrong = await play(t, rig, mode, id, cases.length);
      const expected = FAILS[mode].includes(name) ? 'fails' : 'passes';
      t.equal(
        wrong === '' ? 'passes' : 'fails',
        expected,
        `${mode} in the guest: ${name} ${wrong}`,
      );
    }
  }
  rig.words.say('poweroff');
  t.ok(await rig.console.waitFor('end poweroff', TEST_LIMIT_MS));
  t.same(rig.console.troubles, []);
});
