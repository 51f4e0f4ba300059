import { join } from 'node:path';
import { type Child, pinned, start, stop, untilListening } from '../common/processes.js';
import type { DaemonSetting } from './cases.js';
import { type DaemonKind, daemonCommand } from './daemon-command.js';

/** A or B: one kind of daemon with its own image. */
export interface Side {
  readonly label: 'a' | 'b';
  readonly kind: DaemonKind;
  readonly imagePath: string;
  readonly aio: string | undefined;
}

export interface RunningDaemon {
  readonly child: Child;
  readonly pid: number;
  readonly socketPath: string;
  readonly startMs: number;
}

export interface DaemonEnvironment {
  readonly socketDirectory: string;
  readonly cpu: number | undefined;
}

let sequence = 0;

export async function startDaemon(
  side: Side,
  setting: DaemonSetting,
  environment: DaemonEnvironment,
): Promise<RunningDaemon> {
  sequence += 1;
  const socketPath = join(environment.socketDirectory, `${side.label}${sequence}.sock`);
  const place = { socketPath, imagePath: side.imagePath, aio: side.aio };
  const line = pinned(daemonCommand(side.kind, setting, place), environment.cpu);
  const before = performance.now();
  const child = start(line);
  await untilListening(child, socketPath);
  return { child, pid: child.pid, socketPath, startMs: performance.now() - before };
}

export const stopDaemon = (daemon: RunningDaemon): Promise<void> => stop(daemon.child);
