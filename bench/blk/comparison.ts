import { type BenchCase, groupBySetting } from './cases.js';
import { dropFromPageCache, flushImage, imageIsIntact } from './image.js';
import { type LoadSettings, runLoad } from './load-generator.js';
import { cpuMs } from './processes.js';
import { type CaseRow, caseRow, formatProgress, type Sample } from './report.js';
import {
  type DaemonEnvironment,
  type RunningDaemon,
  type Side,
  startDaemon,
  stopDaemon,
} from './side.js';

export interface ComparisonOptions {
  readonly sides: readonly [Side, Side];
  readonly environment: DaemonEnvironment;
  readonly load: LoadSettings;
  readonly rounds: number;
  readonly print: (line: string) => void;
}

/** A resting daemon that takes more of the shared CPU than this spoils its neighbour's figures. */
const RESTING_CPU_SHARE_MAX = 0.005;

type Pair = readonly [RunningDaemon, RunningDaemon];

async function runBeside(
  benchCase: BenchCase,
  options: ComparisonOptions,
  busy: RunningDaemon,
  resting: RunningDaemon,
): Promise<Sample> {
  const before = cpuMs(resting.pid);
  const startedMs = performance.now();
  const sample = await runLoad(benchCase, options.load, busy);
  const share = (cpuMs(resting.pid) - before) / (performance.now() - startedMs);
  if (share > RESTING_CPU_SHARE_MAX) {
    const percent = (share * 100).toFixed(1);
    options.print(`warning: the resting daemon used ${percent} % CPU during ${benchCase.name}`);
  }
  return sample;
}

async function runCase(
  benchCase: BenchCase,
  options: ComparisonOptions,
  pair: Pair,
): Promise<CaseRow> {
  const samples: { a: Sample[]; b: Sample[] } = { a: [], b: [] };
  for (let round = 0; round < options.rounds; round += 1) {
    // Who goes first alternates, so that a steady drift of the machine favours neither side.
    for (const turn of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const [busy, resting] = turn === 0 ? pair : [pair[1], pair[0]];
      const sample = await runBeside(benchCase, options, busy, resting);
      (turn === 0 ? samples.a : samples.b).push(sample);
      const image = options.sides[turn === 0 ? 0 : 1].imagePath;
      if (benchCase.rw.endsWith('write')) flushImage(image);
    }
  }
  return caseRow(benchCase, samples.a, samples.b);
}

/** O_DIRECT through a file with cached pages pays for coherence; the page cache must be warm. */
function prepareCache(cache: BenchCase['cache'], sides: readonly Side[]): void {
  for (const { imagePath } of sides) {
    if (!imageIsIntact(imagePath))
      throw new Error(`${imagePath} lost its pattern: data was damaged`);
    if (cache === 'direct') dropFromPageCache(imagePath);
  }
}

export async function compareSides(
  cases: readonly BenchCase[],
  options: ComparisonOptions,
): Promise<CaseRow[]> {
  const rows: CaseRow[] = [];
  for (const [setting, group] of groupBySetting(cases)) {
    const [first] = group;
    if (!first) continue;
    options.print(`# daemons: ${setting}`);
    prepareCache(first.cache, options.sides);
    const a = await startDaemon(options.sides[0], first, options.environment);
    const b = await startDaemon(options.sides[1], first, options.environment);
    for (const benchCase of group) {
      const row = await runCase(benchCase, options, [a, b]);
      options.print(formatProgress(row));
      rows.push(row);
    }
    await stopDaemon(a);
    await stopDaemon(b);
  }
  return rows;
}
