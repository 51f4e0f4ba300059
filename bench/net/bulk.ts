// Bulk TCP between a QEMU guest and the host: one guest with two cards on two taps of the same kind,
// ours (A) and QEMU's own virtio-net (B), by turns.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { whyNoQemuGuest } from '../../test/guest/kernels.js';
import { startQemu } from '../../test/guest/qemu.js';
import { cpuMs, start, stop, untilListening } from '../common/processes.js';
import { type Row, row } from './report.js';

export interface BulkCase {
  readonly name: string;
  readonly mtu: number;
}

export const BULK_CASES: readonly BulkCase[] = [
  { name: 'tap/tcp/1500', mtu: 1500 },
  { name: 'tap/tcp/9000', mtu: 9000 },
];

export interface BulkOptions {
  readonly binPath: string;
  readonly directory: string;
  readonly rounds: number;
  readonly seconds: number;
}

/** 10.254.SUBNET.0/24 is A's, the next one B's. */
const SUBNET = 231;
const UP_MIB_PER_SECOND = 100;
const WRITE_BYTES = 1 << 20;
const BOOT_LIMIT_MS = 60_000;
const MIB = 1 << 20;

type Side = 'a' | 'b';
type Direction = 'down' | 'up';

/** One transfer. */
interface Transfer {
  readonly side: Side;
  readonly direction: Direction;
  readonly mib: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

export function whyNoBulk(): string | undefined {
  if (process.getuid?.() !== 0) return 'taps need root';
  return whyNoQemuGuest();
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

/** A tap as the host's administrator makes it, and its removal. */
function makeTap(name: string, mtu: number, address: string): () => void {
  ip('tuntap', 'add', 'dev', name, 'mode', 'tap', 'vnet_hdr');
  const remove = () => void spawnSync('ip', ['link', 'del', name]);
  process.on('exit', remove);
  ip('link', 'set', name, 'mtu', `${mtu}`, 'up');
  ip('addr', 'add', address, 'dev', name);
  return remove;
}

/** Of the thread that runs QEMU's own cards, and its part of ours. */
function mainThreadMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

const sideOf = (socket: Socket): Side =>
  socket.localAddress?.split('.')[2] === `${SUBNET}` ? 'a' : 'b';

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '0.0.0.0', resolve);
  });
  return (server.address() as { port: number }).port;
}

/** Gives for so long, or takes to the end; tells what it took. */
class Peer {
  readonly #done: Transfer[] = [];
  readonly #cpuMs: (side: Side) => number;
  readonly #servers: Server[] = [];

  /** `cpuMs`: what a side's card has used so far. */
  constructor(cpuMs: (side: Side) => number) {
    this.#cpuMs = cpuMs;
  }

  get done(): readonly Transfer[] {
    return this.#done;
  }

  /** The first of two ports next to each other. */
  async open(seconds: number): Promise<number> {
    const giver = createServer({ allowHalfOpen: true }, (socket) => this.#give(socket, seconds));
    const port = await listen(giver, 0);
    const taker = createServer({ allowHalfOpen: true }, (socket) => this.#take(socket));
    await listen(taker, port + 1);
    this.#servers.push(giver, taker);
    return port;
  }

  close(): void {
    for (const server of this.#servers) server.close();
  }

  #give(socket: Socket, seconds: number): void {
    const note = this.#clock(sideOf(socket), 'down');
    const bytes = Buffer.alloc(WRITE_BYTES);
    const endMs = performance.now() + seconds * 1000;
    const more = () => {
      while (performance.now() < endMs) if (!socket.write(bytes)) return;
      socket.end();
    };
    socket.on('drain', more);
    // Unread, the guest's end of the stream would keep it from closing.
    socket.resume();
    socket.on('close', () => note(socket.bytesWritten));
    socket.on('error', () => {});
    more();
  }

  #take(socket: Socket): void {
    const note = this.#clock(sideOf(socket), 'up');
    let taken = 0;
    socket.on('data', (bytes) => {
      taken += bytes.byteLength;
    });
    socket.on('end', () => {
      note(taken);
      socket.end();
    });
    socket.on('error', () => {});
  }

  #clock(side: Side, direction: Direction): (bytes: number) => void {
    const startedMs = performance.now();
    const cpuBeforeMs = this.#cpuMs(side);
    return (bytes) => {
      const cpuSeconds = (this.#cpuMs(side) - cpuBeforeMs) / 1000;
      const seconds = (performance.now() - startedMs) / 1000;
      this.#done.push({ side, direction, mib: bytes / MIB, seconds, cpuSeconds });
    };
  }
}

function rowsOf(name: string, transfers: readonly Transfer[]): Row[] {
  const column = (side: Side, direction: Direction, value: (of: Transfer) => number) =>
    transfers.filter((of) => of.side === side && of.direction === direction).map(value);
  return (['down', 'up'] as const).flatMap((direction) => {
    const both = (unit: string, value: (of: Transfer) => number, target?: number) =>
      row(
        `${name}/${direction}`,
        unit,
        column('a', direction, value),
        column('b', direction, value),
        target,
      );
    return [
      both('MiB/s', ({ mib, seconds }) => mib / seconds, 1),
      both('MiB/CPU s', ({ mib, cpuSeconds }) => mib / cpuSeconds),
    ];
  });
}

export async function compareBulk({ name, mtu }: BulkCase, options: BulkOptions): Promise<Row[]> {
  const { binPath, directory, rounds, seconds } = options;
  const taps = { a: `vhtb${process.pid % 100_000}a`, b: `vhtb${process.pid % 100_000}b` };
  const remove = [
    makeTap(taps.a, mtu, `10.254.${SUBNET}.1/24`),
    makeTap(taps.b, mtu, `10.254.${SUBNET + 1}.1/24`),
  ];
  const socket = join(directory, `tap${mtu}`);
  const flags = ['net', '--socket', socket, '--tap', taps.a, '--mtu', `${mtu}`];
  const daemon = start({ command: process.execPath, args: [binPath, ...flags] });
  await untilListening(daemon, socket);
  let qemuPid = 0;
  const peer = new Peer((side) => mainThreadMs(qemuPid) + (side === 'a' ? cpuMs(daemon.pid) : 0));
  const port = await peer.open(seconds);
  const card = (netdev: string) => `virtio-net-pci,netdev=${netdev},vectors=0,host_mtu=${mtu}`;
  const machine = startQemu({
    numQueues: 1,
    accelerator: 'tcg',
    parameters: {
      vt_role: 'net-bulk',
      vt_rounds: rounds,
      vt_subnet: SUBNET,
      vt_port: port,
      vt_mtu: mtu,
      vt_net_mib: Math.ceil(seconds * UP_MIB_PER_SECOND),
    },
    devices: [
      ...['-chardev', `socket,id=net,path=${socket}`],
      ...['-netdev', 'vhost-user,id=neta,chardev=net', '-device', card('neta')],
      ...['-netdev', `tap,id=netb,ifname=${taps.b},script=no,downscript=no,vhost=off`],
      ...['-device', card('netb')],
    ],
  });
  qemuPid = machine.child.process.pid as number;
  try {
    const limitMs = BOOT_LIMIT_MS + rounds * 20_000 * Math.max(1, seconds);
    if (!(await machine.console.waitFor('end poweroff', limitMs))) {
      throw new Error(`${name}: ${machine.console.tail(20).join('\n')}`);
    }
    return rowsOf(name, peer.done);
  } finally {
    peer.close();
    machine.child.kill();
    await machine.child.exited;
    await stop(daemon);
    for (const each of remove) each();
  }
}
