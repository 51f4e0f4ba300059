import { loadFlags, runLoadProgram } from '../common/load-program.js';
import type { BenchCase } from './cases.js';
import type { Sample } from './report.js';

const RING_ENTRIES = 256;
const DESCRIPTORS_PER_CHAIN = 3;
const WARMUP_SECONDS = 0.25;
/** Writes stay in a part of the image small enough to be flushed between runs. */
const WRITE_BYTES = 256 << 20;

export interface LoadSettings {
  readonly binary: string;
  readonly seconds: number;
  readonly idleSeconds?: number;
  readonly pinCpu?: number | undefined;
  /** Chains of three ring entries instead of one indirect one. */
  readonly directChains: boolean;
}

/** Direct chains of a deep queue need a larger ring than the usual one. */
export function ringEntries(depth: number, directChains: boolean): number {
  if (!directChains) return RING_ENTRIES;
  return Math.max(RING_ENTRIES, 2 ** Math.ceil(Math.log2(depth * DESCRIPTORS_PER_CHAIN)));
}

export function loadArguments(
  benchCase: BenchCase,
  settings: LoadSettings,
  daemon: { readonly socketPath: string; readonly pid: number },
): string[] {
  const args = loadFlags({
    socket: daemon.socketPath,
    'daemon-pid': daemon.pid,
    rw: benchCase.rw,
    bs: benchCase.blockBytes,
    qd: benchCase.depth,
    queues: benchCase.queues,
    mode: benchCase.mode,
    'ring-size': ringEntries(benchCase.depth, settings.directChains),
    seconds: settings.seconds,
    warmup: WARMUP_SECONDS,
    size: benchCase.rw.endsWith('write') ? WRITE_BYTES : undefined,
    idle: settings.idleSeconds,
    pin: settings.pinCpu,
  });
  args.push('--verify');
  if (!settings.directChains) args.push('--indirect');
  return args;
}

export async function runLoad(
  benchCase: BenchCase,
  settings: LoadSettings,
  daemon: { readonly socketPath: string; readonly pid: number },
): Promise<Sample> {
  const args = loadArguments(benchCase, settings, daemon);
  return (await runLoadProgram(benchCase.name, settings.binary, args)) as Sample;
}
