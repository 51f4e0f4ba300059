import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 5_000;
/** UNIX socket flag in /proc/net/unix: listen(2) was called. */
const ACCEPTS_CONNECTIONS = 0x10000;

export interface CommandLine {
  readonly command: string;
  readonly args: readonly string[];
}

export function pinned(line: CommandLine, cpu: number | undefined): CommandLine {
  if (cpu === undefined) return line;
  return { command: 'taskset', args: ['-c', String(cpu), line.command, ...line.args] };
}

const living = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => process.exit(1));
}

export interface Child {
  readonly pid: number;
  readonly process: ChildProcess;
  readonly stderr: () => string;
}

/** A child that does not outlive this process, whatever ends it. `talks`: its standard input and
 *  output are ours too. */
export function start(line: CommandLine, talks = false): Child {
  const ends = talks ? 'pipe' : 'ignore';
  const child = spawn(line.command, line.args, { stdio: [ends, ends, 'pipe'] });
  living.add(child);
  child.on('exit', () => living.delete(child));
  let stderr = '';
  child.on('error', (error) => {
    stderr += error.message;
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return { pid: child.pid ?? 0, process: child, stderr: () => stderr };
}

export const ended = (child: Child): boolean =>
  child.pid === 0 || child.process.exitCode !== null || child.process.signalCode !== null;

export async function stop(child: Child): Promise<void> {
  if (ended(child)) return;
  const exit = once(child.process, 'exit');
  child.process.kill('SIGTERM');
  const late = setTimeout(() => child.process.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await exit;
  clearTimeout(late);
}

/** A halted virtual CPU waits for its host to wake it; a SCHED_IDLE loop keeps it from halting. */
export function keepAwake(cpu: number): Child {
  const loop = ['-i', '0', 'sh', '-c', 'while :; do :; done'];
  return start({ command: 'taskset', args: ['-c', String(cpu), 'chrt', ...loop] });
}

/** Looks without connecting: a connection would be a session the daemon has to serve. */
export function listens(socketPath: string): boolean {
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .some((line) => {
      const fields = line.trim().split(/\s+/);
      const flags = Number.parseInt(fields[3] ?? '0', 16);
      return fields[7] === socketPath && (flags & ACCEPTS_CONNECTIONS) !== 0;
    });
}

export async function untilListening(child: Child, socketPath: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!listens(socketPath)) {
    if (ended(child)) throw new Error(`the daemon ended at start: ${child.stderr().trim()}`);
    if (performance.now() > deadline) throw new Error('the daemon never listened');
    await sleep(1);
  }
}

export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** CPU time of all living threads, to see whether a daemon that should rest does. */
export function cpuMs(pid: number): number {
  let sum = 0;
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      sum += Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]);
    } catch {
      // The thread ended between the two reads.
    }
  }
  return sum / 1e6;
}
