// The daemon under test, or the one to compare it with, behind one face.

import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { plainNode } from '../../src/testing/index.js';

import type { ChildExit, TrackedChild } from './children.js';
import { delay, spawnTracked, within } from './children.js';
import { checkoutDir } from './kernels.js';

export type BackendKind = 'vhost-ts' | 'qemu-storage-daemon';

export interface BackendOptions {
  readonly kind: BackendKind;
  readonly socketPath: string;
  readonly imagePath: string;
  readonly numQueues?: number;
  readonly blockSizeBytes?: 512 | 4096;
  readonly readOnly?: boolean;
  /** vhost-ts only, as are those below. */
  readonly serial?: string;
  readonly createSize?: string;
  readonly cache?: 'writeback' | 'writethrough' | 'none';
  readonly aio?: 'io_uring' | 'threads';
  readonly imageLock?: 'open' | 'running';
  readonly logLevel?: string;
  /** The front-end listens, vhost-ts connects. */
  readonly client?: boolean;
  readonly iommu?: boolean;
}

const READY_LIMIT_MS = 15_000;
const STOP_LIMIT_MS = 15_000;
const READY_POLL_MS = 20;
/** More than the most talkative run has, at the level debug. */
const OUTPUT_MAX_LINES = 2000;
const KILL_WAIT_MS = 2000;

/** What qemu-storage-daemon tells every guest: it has no option for the serial. */
export const STORAGE_DAEMON_SERIAL = 'vhost_user_blk';

export function backendKindFromEnvironment(): BackendKind {
  const kind = process.env.VHOST_TS_TEST_BACKEND ?? 'vhost-ts';
  if (kind === 'vhost-ts' || kind === 'qemu-storage-daemon') return kind;
  throw new Error(`VHOST_TS_TEST_BACKEND=${kind}: use vhost-ts or qemu-storage-daemon`);
}

function vhostTsCommand(options: BackendOptions): [string, string[]] {
  const flags: [string, string | number | undefined][] = [
    ['--socket', options.socketPath],
    ['--image', options.imagePath],
    ['--num-queues', options.numQueues],
    ['--block-size', options.blockSizeBytes],
    ['--serial', options.serial],
    ['--create', options.createSize],
    ['--cache', options.cache],
    ['--aio', options.aio],
    ['--image-lock', options.imageLock],
    ['--log-level', options.logLevel],
  ];
  const given = flags.flatMap(([flag, value]) => (value === undefined ? [] : [flag, `${value}`]));
  const bin = join(checkoutDir(), 'bin', 'vhost-ts.js');
  const switches = [
    ...(options.readOnly ? ['--read-only'] : []),
    ...(options.client ? ['--client'] : []),
    ...(options.iommu ? ['--iommu'] : []),
  ];
  return ['env', plainNode(bin, ['blk', ...given, ...switches])];
}

function storageDaemonCommand(options: BackendOptions): [string, string[]] {
  const writable = options.readOnly ? 'off' : 'on';
  const file = [
    `driver=file,node-name=disk,filename=${options.imagePath}`,
    `discard=unmap,read-only=${options.readOnly ? 'on' : 'off'}`,
  ];
  const blockExport = [
    'type=vhost-user-blk,id=export,node-name=disk',
    `addr.type=unix,addr.path=${options.socketPath}`,
    `writable=${writable},num-queues=${options.numQueues ?? 1}`,
    `logical-block-size=${options.blockSizeBytes ?? 512}`,
  ];
  return ['qemu-storage-daemon', ['--blockdev', file.join(','), '--export', blockExport.join(',')]];
}

export interface BackendStop extends ChildExit {
  /** False when SIGTERM was not enough. */
  readonly inTime: boolean;
}

export class Backend {
  readonly #child: TrackedChild;
  readonly #output: string[] = [];

  constructor(child: TrackedChild) {
    this.#child = child;
    for (const stream of [child.process.stdout, child.process.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        if (line !== '') this.#output.push(line);
        this.#output.splice(0, this.#output.length - OUTPUT_MAX_LINES);
      });
    }
  }

  get pid(): number {
    return this.#child.process.pid ?? -1;
  }

  get output(): readonly string[] {
    return this.#output;
  }

  isRunning(): boolean {
    return this.#child.isRunning();
  }

  get exited(): Promise<ChildExit> {
    return this.#child.exited;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.process.kill(signal);
  }

  /** SIGTERM and, when that is not enough in good time, SIGKILL. */
  async stop(): Promise<BackendStop> {
    this.signal('SIGCONT');
    this.signal('SIGTERM');
    const exit = await within(this.#child.exited, STOP_LIMIT_MS);
    if (exit !== undefined) return { ...exit, inTime: true };
    this.#child.kill();
    await within(this.#child.exited, KILL_WAIT_MS);
    return { code: null, signal: 'SIGKILL', inTime: false };
  }
}

function connects(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Resolves once the daemon accepts connections (or waits for a socket); rejects with what it said when it does not. */
export async function startBackend(options: BackendOptions): Promise<Backend> {
  const [program, args] =
    options.kind === 'vhost-ts' ? vhostTsCommand(options) : storageDaemonCommand(options);
  const child = spawnTracked(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const backend = new Backend(child);
  const deadlineMs = performance.now() + READY_LIMIT_MS;
  while (backend.isRunning() && performance.now() < deadlineMs) {
    const waits = backend.output.some((line) => line.includes('"connecting"'));
    if (options.client ? waits : await connects(options.socketPath)) return backend;
    await delay(READY_POLL_MS);
  }
  child.kill();
  const { code, signal } = (await within(child.exited, KILL_WAIT_MS)) ?? { code: null, signal: '' };
  const said = backend.output.join('\n');
  throw new Error(`${options.kind} did not start to listen (exit ${code ?? signal}): ${said}`);
}
