// A whole story: an image, a daemon, a guest that uses it, the daemon's end, the image afterwards,
// and on demand the same image once more, read-only.
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Backend, BackendKind, BackendOptions } from './backend.js';
import { startBackend } from './backend.js';
import { DISK_LAYOUT, MIB } from './disk-layout.js';
import type { GuestOutcome, GuestRunOptions, MachineKind } from './guest-run.js';
import { runGuest } from './guest-run.js';
import { checkImage } from './image-check.js';

export interface Scenario {
  readonly machine: MachineKind;
  readonly kind: BackendKind;
  readonly numQueues: number;
  readonly blockSizeBytes: 512 | 4096;
  readonly reboots: number;
  readonly serial: string;
  readonly pauseMs?: number;
  readonly packed?: boolean;
  /** The disk behind the machine's IOMMU; QEMU only. */
  readonly iommu?: boolean;
  /** Afterwards a second daemon serves the image read-only to a second guest. */
  readonly thenReadOnly?: boolean;
  /** The daemon connects, where machine and daemon can. */
  readonly client?: boolean;
}

export interface ScenarioOutcome {
  readonly problems: readonly string[];
  readonly writable: GuestOutcome;
  readonly readOnly: GuestOutcome | undefined;
  readonly backendOutput: readonly string[];
}

export function createSparseImage(imagePath: string): void {
  const file = openSync(imagePath, 'wx');
  ftruncateSync(file, DISK_LAYOUT.sizeMib * MIB);
  closeSync(file);
}

export async function stopAndJudge(backend: Backend): Promise<string[]> {
  const { code, signal, inTime } = await backend.stop();
  if (!inTime) return ['the daemon did not end at SIGTERM'];
  return code === 0 ? [] : [`the daemon ended with ${signal ?? `exit ${code}`} at SIGTERM`];
}

interface Served {
  readonly outcome: GuestOutcome;
  readonly problems: string[];
  readonly output: readonly string[];
}

async function serve(
  options: BackendOptions,
  run: Omit<GuestRunOptions, 'backend' | 'socketPath' | 'numQueues'>,
): Promise<Served> {
  const backend = await startBackend(options);
  const { socketPath, numQueues = 1 } = options;
  const client = options.client ?? false;
  const outcome = await runGuest({ ...run, backend, socketPath, numQueues, client });
  const problems = [...outcome.problems, ...(await stopAndJudge(backend))];
  return { outcome, problems, output: backend.output };
}

export async function runScenario(scenario: Scenario): Promise<ScenarioOutcome> {
  const dir = mkdtempSync(join(tmpdir(), 'vhost-ts-guest-'));
  try {
    const {
      machine,
      kind,
      numQueues,
      blockSizeBytes,
      serial,
      reboots,
      pauseMs,
      packed = false,
      iommu = false,
    } = scenario;
    const imagePath = join(dir, 'disk.img');
    const client = scenario.client === true && machine === 'qemu' && kind === 'vhost-ts';
    const common = { kind, imagePath, numQueues, blockSizeBytes, serial, client, iommu };
    createSparseImage(imagePath);
    const pause = pauseMs === undefined ? {} : { pauseMs };
    const writable = await serve(
      { ...common, socketPath: join(dir, 'rw.sock') },
      { machine, role: 'disk', reboots, packed, iommu, ...pause },
    );
    const problems = [...writable.problems, ...checkImage(imagePath, writable.outcome.facts)];
    if (!scenario.thenReadOnly || problems.length > 0) {
      const { outcome, output } = writable;
      return { problems, writable: outcome, readOnly: undefined, backendOutput: output };
    }
    const readOnly = await serve(
      { ...common, socketPath: join(dir, 'ro.sock'), readOnly: true },
      { machine, role: 'readonly', iommu },
    );
    problems.push(...readOnly.problems.map((text) => `read-only: ${text}`));
    problems.push(...checkImage(imagePath, writable.outcome.facts));
    return {
      problems,
      writable: writable.outcome,
      readOnly: readOnly.outcome,
      backendOutput: readOnly.output,
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
