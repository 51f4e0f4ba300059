import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BenchCase } from './cases.js';
import type { Sample } from './report.js';

const RING_ENTRIES = 256;
const DESCRIPTORS_PER_CHAIN = 3;
const WARMUP_SECONDS = 0.25;
/** Writes stay in a part of the image small enough to be flushed between runs. */
const WRITE_BYTES = 256 << 20;

export function buildLoadGenerator(sourceDirectory: string, binary: string): void {
  const sources = readdirSync(sourceDirectory).filter((name) => /\.(cc|h)$/.test(name));
  const newest = Math.max(...sources.map((name) => statSync(join(sourceDirectory, name)).mtimeMs));
  if ((statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0) > newest) return;
  mkdirSync(dirname(binary), { recursive: true });
  const source = join(sourceDirectory, 'load-generator.cc');
  const flags = ['-O2', '-std=c++20', '-Wall', '-Wextra'];
  execFileSync('g++', [...flags, source, '-o', binary], { stdio: 'inherit' });
}

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
  const values: Record<string, string | number> = {
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
  };
  if (benchCase.rw.endsWith('write')) values.size = WRITE_BYTES;
  if (settings.idleSeconds !== undefined) values.idle = settings.idleSeconds;
  if (settings.pinCpu !== undefined) values.pin = settings.pinCpu;
  const args = Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
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
  const child = spawn(settings.binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  process.off('exit', kill);
  if (code !== 0) throw new Error(`${benchCase.name}: ${stderr.trim() || `exit ${code}`}`);
  return JSON.parse(stdout) as Sample;
}
