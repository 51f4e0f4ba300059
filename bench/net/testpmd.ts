// DPDK's packet generator and forwarder, told what to do through its prompt. Its ports: virtio-user
// (a front-end: the driver's side) or net_vhost (a back-end: what we are compared with).

import { spawnSync } from 'node:child_process';
import { type Child, ended, start, stop } from '../common/processes.js';

export const PROGRAM = 'dpdk-testpmd';

export interface VirtioUser {
  readonly socket: string;
  readonly packed: boolean;
  readonly mergeable: boolean;
  readonly inOrder: boolean;
}

/** Of a front-end's card; the next port's is who its frames are for, round and round. A switch that
 *  knows nobody would flood them. */
const macOf = (port: number): string => `52:54:00:00:01:0${port}`;

export type Forwarding = 'txonly' | 'rxonly' | 'io';

export interface TestpmdOptions {
  /** EAL's `--vdev`, one for each port. */
  readonly devices: readonly string[];
  /** Of the frames it makes. */
  readonly frameBytes?: number;
  /** Of the frames it takes; beyond 1518 in several buffers, which must be mergeable. */
  readonly largestBytes?: number;
  /** The second one forwards, the first waits for commands. */
  readonly cpus?: readonly [control: number, forwarding: number];
}

/** Since the last start of forwarding; `refused` had no place in the ring. */
export interface ForwardCounts {
  readonly received: number;
  readonly sent: number;
  readonly refused: number;
}

const QUEUE_SIZE = 256;
const MEMORY_MIB = 128;
const MBUFS = 8192;
const ORDINARY_BYTES = 1518;
/** Room for the longest frame of a test behind DPDK's own headroom of 128. */
const MBUF_BYTES = 2048 + 128;
const SAYS_TIMEOUT_MS = 20_000;
const LOOK_MS = 2;

let started = 0;

/** The program and the two drivers it needs are separate packages. */
export function whyNoTestpmd(): string | undefined {
  const missing = spawnSync(PROGRAM, ['--version']).error !== undefined;
  return missing
    ? `${PROGRAM} is not installed (Debian: dpdk-dev librte-net-virtio23 librte-net-vhost23 librte-mempool-ring23)`
    : undefined;
}

export function virtioUser({ socket, packed, mergeable, inOrder }: VirtioUser, port = 0): string {
  const bit = (on: boolean) => (on ? 1 : 0);
  return [
    `net_virtio_user${port},path=${socket},queues=1,queue_size=${QUEUE_SIZE}`,
    `mac=${macOf(port)},packed_vq=${bit(packed)},mrg_rxbuf=${bit(mergeable)},in_order=${bit(inOrder)}`,
  ].join(',');
}

export const netVhost = (socket: string, port = 0): string =>
  `net_vhost${port},iface=${socket},queues=1`;

export class Testpmd {
  readonly #child: Child;
  #said = '';

  private constructor(child: Child) {
    this.#child = child;
    child.process.stdout?.on('data', (text) => {
      this.#said += String(text);
    });
    // What ends it is told by its standard error and by what it did not say.
    child.process.stdin?.on('error', () => {});
  }

  /** Running, its port up; nothing is forwarded yet. */
  static async start(options: TestpmdOptions): Promise<Testpmd> {
    const { devices, frameBytes = 64, largestBytes = ORDINARY_BYTES, cpus = [0, 1] } = options;
    started++;
    const eal = ['-l', cpus.join(','), '--main-lcore', `${cpus[0]}`, '--no-huge', '--no-pci'];
    const own = [
      '-m',
      `${MEMORY_MIB}`,
      '--no-telemetry',
      `--file-prefix=vt${process.pid}.${started}`,
    ];
    const app = ['-i', '--disable-link-check', `--total-num-mbufs=${MBUFS}`];
    const frames = [`--mbuf-size=${MBUF_BYTES}`, `--txpkts=${frameBytes}`];
    const peers = devices.map((_, i) => `--eth-peer=${i},${macOf((i + 1) % devices.length)}`);
    const large =
      largestBytes > ORDINARY_BYTES ? ['--enable-scatter', `--max-pkt-len=${largestBytes}`] : [];
    const ports = devices.map((device) => `--vdev=${device}`);
    const args = [...eal, ...own, ...ports, '--', ...app, ...peers, ...frames, ...large];
    // Into a pipe its words would come when 4 KiB of them are together.
    const child = start({ command: 'stdbuf', args: ['-oL', PROGRAM, ...args] }, true);
    const made = new Testpmd(child);
    await made.#until('^Done$', 0);
    return made;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** `firstBursts`: bursts of 32 frames each port sends by itself before it forwards. */
  async forward(mode: Forwarding, firstBursts = 0): Promise<void> {
    const from = this.#said.length;
    this.#tell(`set fwd ${mode}`);
    this.#tell(firstBursts > 0 ? `start tx_first ${firstBursts}` : 'start');
    await this.#until('TX offloads=\\S+ - TX RS bit', from);
  }

  /** Ends forwarding. What is in a ring by then stays there for the device to take. */
  async rest(): Promise<ForwardCounts> {
    const from = this.#said.length;
    this.#tell('stop');
    await this.#until('Accumulated(.|\\n)*TX-total: \\d+', from);
    const totals = this.#said.slice(this.#said.indexOf('Accumulated', from));
    const count = (name: string) => Number(new RegExp(`${name}: (\\d+)`).exec(totals)?.[1]);
    return {
      received: count('RX-packets'),
      sent: count('TX-packets'),
      refused: count('TX-dropped'),
    };
  }

  async quit(): Promise<void> {
    this.#tell('quit');
    await this.#until('Bye', 0).catch(() => {});
    await stop(this.#child);
  }

  #tell(command: string): void {
    this.#child.process.stdin?.write(`${command}\n`);
  }

  async #until(pattern: string, from: number): Promise<void> {
    const wanted = new RegExp(pattern, 'm');
    const endMs = performance.now() + SAYS_TIMEOUT_MS;
    while (!wanted.test(this.#said.slice(from))) {
      if (ended(this.#child) || performance.now() > endMs) {
        const said = `${this.#said.slice(-1500)}${this.#child.stderr()}`;
        throw new Error(`${PROGRAM} did not say ${pattern}: ${said}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}
