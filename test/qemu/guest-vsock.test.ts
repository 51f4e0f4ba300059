// A real Linux guest under QEMU and its vsock: streams and messages both ways, very many
// connections, a reboot.

import { createHash, randomBytes } from 'node:crypto';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { native } from '../../src/native/index.js';
import { startListening } from '../cli/command.js';
import type { GuestConsole } from '../guest/console.js';
import { whyNoQemuGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { temporaryDirectory } from '../support/resources.js';

/** One boot with its work under TCG, on a busy machine; and for each MiB there and back. */
const MIB = Number(process.env.VHOST_TS_VSOCK_MIB ?? 16);
const BOOT_LIMIT_MS = 120_000 + 500 * MIB;
const CID = 4242;
const MANY = 1000;
const SOCK_SEQPACKET = 5;
t.setTimeout(3 * BOOT_LIMIT_MS);

function listen(t: Test, path: string, serve: (socket: Socket) => void): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
  server.listen(path);
  t.teardown(() => server.close());
}

/** Connects to a port of the guest's and says `part` so many times, then ends; resolves at the
 *  guest's end. */
async function sayAll(path: string, port: number, part: Uint8Array, times: number) {
  const socket = createConnection({ path, allowHalfOpen: true });
  socket.write(`CONNECT ${port}\n`);
  await new Promise((resolve) => socket.once('data', resolve));
  // The guest has nothing to say: its end may come before ours.
  const ended = new Promise((resolve) => socket.once('end', resolve));
  socket.resume();
  for (let i = 0; i < times; i++) {
    if (!socket.write(part)) {
      await new Promise((resolve) => socket.once('drain', resolve));
    }
  }
  socket.end();
  await ended;
}

/** Messages to the guest and back; what came back, as lengths. */
async function sayMessages(path: string, port: number, lengths: readonly number[]) {
  const fd = native.hostConnect(`${path}_seqpacket`, SOCK_SEQPACKET);
  const greeting = Buffer.from(`CONNECT ${port}\n`);
  native.hostSend(fd, greeting, 0, greeting.byteLength);
  const to = new Uint8Array(1 << 20);
  const next = async () => {
    for (;;) {
      const got = native.hostReceive(fd, to, 0, to.byteLength, false);
      if (got >= 0) {
        return got;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await next();
  const back: number[] = [];
  for (const length of lengths) {
    native.hostSend(fd, to, 0, length);
    back.push(await next());
  }
  native.fdClose(fd);
  return back;
}

/** What the guest says after `mark`, once it has said it so many times. */
async function saidTimes(console: GuestConsole, text: string, times: number): Promise<boolean> {
  const endMs = performance.now() + BOOT_LIMIT_MS;
  while (performance.now() < endMs) {
    if (console.guestLines.filter((line) => line.text === text).length >= times) {
      return true;
    }
    if (console.guestLines.some((line) => line.text.startsWith('FAILED'))) {
      return false;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

t.test('vhost-user-vsock-pci', { skip: whyNoQemuGuest() ?? false }, async (t) => {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 's');
  const path = join(directory, 'v');
  const args = ['vsock', '--socket', socket, '--guest-cid', `${CID}`, '--uds-path', path];
  const daemon = await startListening(args, {}, 3 * BOOT_LIMIT_MS);
  const received: string[] = [];
  listen(t, `${path}_1000`, (socket) => {
    const hash = createHash('sha256');
    socket.on('data', (chunk) => hash.update(chunk));
    socket.on('end', () => {
      received.push(hash.digest('hex'));
      socket.end(`answer ${received.length}`);
    });
  });
  listen(t, `${path}_1001`, (socket) => void socket.pipe(socket));
  const ends = ['reboot', 'poweroff'];
  listen(t, `${path}_1002`, (socket) => socket.end(ends.shift() ?? ''));
  let left = 0;
  listen(t, `${path}_1003`, (socket) => {
    socket.resume();
    socket.on('close', () => left++);
    socket.on('end', () => socket.end());
  });
  const machine = startQemu({
    numQueues: 1,
    parameters: { vt_role: 'vsock', vt_fill_mib: MIB, vt_many: MANY },
    accelerator: await chooseAccelerator(),
    devices: [
      ...['-chardev', `socket,id=vsock,path=${socket}`],
      ...['-device', 'vhost-user-vsock-pci,chardev=vsock'],
    ],
  });
  t.teardown(() => machine.child.kill());
  const part = randomBytes(1 << 20);
  const whole = createHash('sha256');
  for (let i = 0; i < MIB; i++) {
    whole.update(part);
  }
  const sum = whole.digest('hex');
  const lengths = [1, 5, 4096, 60_000, 100_000, 7];
  for (const boot of [1, 2]) {
    t.ok(await saidTimes(machine.console, 'mark listens-2000', boot), 'the guest listens');
    await sayAll(path, 2000, part, MIB);
    t.ok(await saidTimes(machine.console, 'mark listens-2001', boot), 'for messages too');
    t.same(await sayMessages(path, 2001, lengths), lengths, 'messages come back as they went');
    const end = boot === 1 ? 'end reboot' : 'end poweroff';
    t.ok(await saidTimes(machine.console, end, 1), machine.console.tail(20).join('\n'));
  }
  await machine.child.exited;
  const facts = machine.console.guestLines.map(({ text }) => text);
  const fact = (name: string) =>
    facts
      .filter((text) => text.startsWith(`fact ${name} `))
      .map((text) => text.split(' ').slice(2));
  t.same(fact('cid'), [[`${CID}`], [`${CID}`]]);
  t.same(fact('sent').flat(), received, 'guest to host');
  t.same(fact('received').flat(), [sum, sum], 'host to guest');
  t.same(fact('answer').map(String), ['answer,1', 'answer,2'], 'half-close');
  t.same(
    fact('messages').map((words) => words.slice(0, -1).map(Number)),
    [lengths, lengths],
  );
  t.same(facts.filter((text) => text === 'ok many').length, 2, `${MANY} connections at a time`);
  for (let i = 0; i < 100 && left < 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.equal(left, 2, 'what the guest left open is closed');
  t.same(machine.console.troubles, []);
  daemon.child.kill('SIGTERM');
  const { code, stderr } = await daemon.outcome;
  t.equal(code, 0, stderr);
  t.notMatch(stderr, /"level":[45]0/);
});
