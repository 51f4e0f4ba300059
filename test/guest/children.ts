// Child processes that never outlive us, and waits that never last for ever.
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface TrackedChild {
  readonly process: ChildProcess;
  readonly exited: Promise<ChildExit>;
  isRunning(): boolean;
  /** SIGKILL to the child and to all it started. */
  kill(): void;
}

const running = new Set<TrackedChild>();
let hooked = false;

function killAll(): void {
  for (const child of running) child.kill();
}

function hookOurOwnEnd(): void {
  if (hooked) return;
  hooked = true;
  process.on('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      killAll();
      process.kill(process.pid, signal);
    });
  }
}

/** The child leads a process group, since User-mode Linux starts processes of its own. */
export function spawnTracked(
  program: string,
  args: readonly string[],
  options: SpawnOptions = {},
): TrackedChild {
  hookOurOwnEnd();
  const child = spawn(program, args, { ...options, detached: true });
  let ended = false;
  const exited = new Promise<ChildExit>((resolve) => {
    child.once('error', () => resolve({ code: 127, signal: null }));
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const tracked: TrackedChild = {
    process: child,
    exited,
    isRunning: () => !ended,
    kill: () => {
      if (child.pid === undefined || ended) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        child.kill('SIGKILL');
      }
    },
  };
  running.add(tracked);
  void exited.then(() => {
    ended = true;
    running.delete(tracked);
  });
  return tracked;
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The promise's value, or undefined once `timeoutMs` have passed. */
export async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
