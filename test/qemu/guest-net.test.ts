// A real Linux guest on a tap: ping, and bytes both ways over TCP with checksums.

import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startListening } from '../cli/command.js';
import { whyNoQemuGuest } from '../guest/kernels.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { ip, tapName, whyNoTap } from '../support/taps.js';

/** One boot under TCG on a busy machine, and four transfers; a long one took 5 minutes. */
const RUN_LIMIT_MS = process.env.VHOST_TS_NET_MIB ? 900_000 : 180_000;
t.setTimeout(4 * RUN_LIMIT_MS);

const MIB = 1 << 20;
/** VHOST_TS_NET_MIB=200 for a long run: an emulated guest sums a MiB in 60 ms. */
const DOWN_MIB = Number(process.env.VHOST_TS_NET_MIB ?? 12);
/** In parts of 8. */
const UP_MIB = process.env.VHOST_TS_NET_MIB ? DOWN_MIB : 8;
const DOWN = Buffer.concat(new Array(DOWN_MIB).fill(randomBytes(MIB)));

interface Row {
  readonly title: string;
  readonly subnet: number;
  readonly pairs?: number;
  readonly mtu: number;
  readonly packed?: boolean;
  /** Properties of virtio-net-pci. */
  readonly properties?: string;
}

const OFF = ['csum', 'guest_csum', 'gso', 'host_tso4', 'host_tso6', 'guest_tso4', 'guest_tso6']
  .concat('host_ecn', 'guest_ecn', 'host_ufo', 'guest_ufo', 'mrg_rxbuf')
  .map((name) => `,${name}=off`)
  .join('');

const ROWS: readonly Row[] = [
  { title: 'one pair, MTU 1500, offloads', subnet: 201, mtu: 1500 },
  {
    title: 'four pairs, MTU 9000, packed rings',
    subnet: 202,
    pairs: 4,
    mtu: 9000,
    packed: true,
    properties: ',host_mtu=9000,packed=on',
  },
  { title: 'no offloads, no merged buffers', subnet: 203, mtu: 1500, properties: OFF },
];

const skip = whyNoQemuGuest() ?? whyNoTap() ?? false;

for (const { title, subnet, pairs = 1, mtu, packed = false, properties = '' } of ROWS) {
  t.test(title, { skip }, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'vt-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const socket = join(directory, 's');
    const tap = tapName();
    const flags = [
      '--socket',
      socket,
      '--tap',
      tap,
      '--queue-pairs',
      `${pairs}`,
      '--mtu',
      `${mtu}`,
    ];
    const daemon = await startListening(['net', ...flags], {}, 2 * RUN_LIMIT_MS);
    const host = `10.255.${subnet}.1`;
    ip('link', 'set', tap, 'mtu', `${mtu}`, 'up');
    ip('addr', 'add', `${host}/24`, 'dev', tap);
    const port = await serve(t, host);
    // Without KVM QEMU 7.2.22 crashes with MSI-X in front of any back-end (DPDK's net_vhost as well):
    // vhost_net_start, msix_set_vector_notifiers, and KVM's interrupt routes, which are not there.
    const queues = `,vectors=0${pairs > 1 ? ',mq=on' : ''}`;
    const startedMs = performance.now();
    const machine = startQemu({
      numQueues: pairs,
      parameters: {
        vt_role: 'net',
        vt_net_mib: UP_MIB,
        vt_host_ip: host,
        vt_guest_ip: `10.255.${subnet}.2`,
        vt_port: port,
        vt_mtu: mtu,
      },
      accelerator: await chooseAccelerator(),
      devices: [
        ...['-chardev', `socket,id=net,path=${socket}`],
        ...['-netdev', `vhost-user,id=net0,chardev=net${pairs > 1 ? `,queues=${pairs}` : ''}`],
        ...['-device', `virtio-net-pci,netdev=net0${queues}${properties}`],
      ],
    });
    t.teardown(() => machine.child.kill());
    const ended = await machine.console.waitFor('end poweroff', RUN_LIMIT_MS);
    t.ok(ended, machine.console.tail(30).join('\n'));
    t.comment(`${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
    const said = machine.console.guestLines.map(({ text }) => text).join('\n');
    const fact = (name: string) => new RegExp(`^fact ${name} (\\S+)$`, 'm').exec(said)?.[1];
    t.match(said, /^ok ping$/m);
    t.match(said, /^ok large-ping$/m);
    t.equal(fact('queues'), `${pairs}`);
    t.equal(fact('packed'), packed ? '1' : '0');
    t.equal(fact('down'), sha256(DOWN), 'from the host');
    t.equal(fact('up-received'), fact('up'), 'from the guest');
    t.equal(fact('down-again'), sha256(DOWN), 'both ways at once: from the host');
    t.equal(fact('up-received-again'), fact('up'), 'both ways at once: from the guest');
    t.equal(fact('errors'), '0', 'the guest counts no error');
    t.same(machine.console.troubles, []);
    await machine.child.exited;
    daemon.child.kill('SIGTERM');
    const { code, stderr } = await daemon.outcome;
    t.equal(code, 0, stderr);
    t.notMatch(stderr, /"level":[45]0/);
  });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** HTTP at a port, and at the next one the sums of what is sent there. */
async function serve(t: Test, host: string): Promise<number> {
  const http = createHttpServer((_, response) => {
    response.setHeader('content-length', DOWN.byteLength);
    response.end(DOWN);
  });
  await new Promise<void>((resolve) => http.listen(0, host, resolve));
  t.teardown(() => void http.close());
  const { port } = http.address() as { port: number };
  const sums = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    const hash = createHash('sha256');
    socket.on('data', (bytes) => hash.update(bytes));
    socket.on('end', () => socket.end(hash.digest('hex')));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => sums.listen(port + 1, host, resolve));
  t.teardown(() => void sums.close());
  return port;
}
