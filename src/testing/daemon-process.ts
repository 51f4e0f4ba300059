// The daemon as a user runs it: a process of its own, started, watched and stopped.

import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { native } from '../native/index.js';

const BIN = fileURLToPath(new URL('../../../bin/vhost-ts.js', import.meta.url));
const READY_TIMEOUT_MS = 20_000;
const READY_STEP_MS = 5;
const STOP_TIMEOUT_MS = 20_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class DaemonProcess {
  readonly socket: string;
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  #stderr = '';
  #stdout = '';
  #over = false;

  constructor(args: readonly string[], socket: string) {
    this.socket = socket;
    this.child = spawn('env', plainNode(BIN, args), { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (text) => {
      this.#stdout += String(text);
    });
    this.child.stderr?.on('data', (text) => {
      this.#stderr += String(text);
    });
    this.exited = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        this.#over = true;
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  /** `vhost-ts blk` on a socket, ready to be connected to. */
  static async blk(socket: string, args: readonly string[]): Promise<DaemonProcess> {
    const daemon = new DaemonProcess(['blk', '--socket', socket, ...args], socket);
    await daemon.ready();
    return daemon;
  }

  /** `vhost-ts vsock`, in the same way. */
  static async vsock(socket: string, args: readonly string[]): Promise<DaemonProcess> {
    const daemon = new DaemonProcess(['vsock', '--socket', socket, ...args], socket);
    await daemon.ready();
    return daemon;
  }

  /** `vhost-ts net`, in the same way. */
  static async net(socket: string, args: readonly string[]): Promise<DaemonProcess> {
    const daemon = new DaemonProcess(['net', '--socket', socket, ...args], socket);
    await daemon.ready();
    return daemon;
  }

  /** Resolves when the socket exists and listens. Connecting would be a session: only looks. */
  async ready(): Promise<void> {
    const endMs = performance.now() + READY_TIMEOUT_MS;
    while (!isListening(this.socket)) {
      if (this.#over || performance.now() > endMs) {
        throw new Error(`the daemon did not start: ${this.#stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, READY_STEP_MS));
    }
  }

  get pid(): number {
    return this.child.pid as number;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get alive(): boolean {
    return !this.#over;
  }

  /** Open descriptors, and mappings of shared memory, of the process. */
  resources(): { readonly fds: number; readonly guestMappings: number } {
    const maps = readFileSync(`/proc/${this.pid}/maps`, 'utf8');
    const guestMappings = maps.split('\n').filter((line) => line.includes('/memfd:')).length;
    return { fds: readdirSync(`/proc/${this.pid}/fd`).length, guestMappings };
  }

  /** Resident memory now. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }

  /** CPU seconds of all threads so far. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    const TICKS_PER_SECOND = 100;
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** SIGTERM, and SIGKILL when that does not help. */
  async stop(): Promise<Exit> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), STOP_TIMEOUT_MS);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }
}

/**
 * Arguments of env(1) that run a Node program without what a test runner hands down to children:
 * its loaders cost half a second and 30 MiB in each, and a child of another user can't write where
 * they want. Runners put the variables back into whatever is spawned, so env has to take them out.
 */
export function plainNode(program: string, args: readonly string[]): string[] {
  const without = ['NODE_OPTIONS', 'NODE_V8_COVERAGE'].flatMap((name) => ['-u', name]);
  return [...without, process.execPath, program, ...args];
}

/** The kernel's list of UNIX sockets: a path that listens has the flag 00010000. */
export function isListening(path: string): boolean {
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .some((line) => line.endsWith(` ${path}`) && line.split(' ')[3] === '00010000');
}

/** A socket pair of this process, for tests that hand one end over. */
export function socketPair(): [number, number] {
  const pair = new Int32Array(2);
  const result = native.socketPair(pair);
  if (result < 0) {
    throw new Error(`socketpair: errno ${-result}`);
  }
  return [pair[0] as number, pair[1] as number];
}
