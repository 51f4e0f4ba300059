import { cpuMs } from '../common/processes.js';
import { type BenchCase, type DaemonSetting, groupBySetting } from './cases.js';
import { dropFromPageCache, flushImage, imageIsIntact } from './image.js';
import { type LoadSettings, runLoad } from './load-generator.js';
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
  label: 'a' | 'b',
): Promise<Sample> {
  const before = cpuMs(resting.pid);
  const startedMs = performance.now();
  const sample = await runLoad(benchCase, options.load, busy).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    if (!message.includes('stalled: ')) throw error;
    throw new StallError({ label, caseName: benchCase.name, message });
  });
  const share = (cpuMs(resting.pid) - before) / (performance.now() - startedMs);
  if (share > RESTING_CPU_SHARE_MAX) {
    const percent = (share * 100).toFixed(1);
    options.print(`warning: the resting daemon used ${percent} % CPU during ${benchCase.name}`);
  }
  return sample;
}

interface Samples {
  readonly a: Sample[];
  readonly b: Sample[];
}

/** A run that stopped moving: reported and counted, and its round repeated on new daemons. */
export interface Stall {
  readonly label: 'a' | 'b';
  readonly caseName: string;
  readonly message: string;
}

export interface Compared {
  readonly rows: readonly CaseRow[];
  readonly stalls: readonly Stall[];
}

/** More than this is no longer an accident worth measuring around. */
const STALLS_MAX = 10;

class StallError extends Error {
  readonly stall: Stall;
  constructor(stall: Stall) {
    super(stall.message);
    this.stall = stall;
  }
}

/** A and B next to each other; who goes first alternates, so that a drift favours neither side. */
async function runPair(
  benchCase: BenchCase,
  options: ComparisonOptions,
  pair: Pair,
  round: number,
): Promise<{ a: Sample; b: Sample }> {
  const [a, b] = pair;
  const measured: { a?: Sample; b?: Sample } = {};
  for (const label of round % 2 === 0 ? (['a', 'b'] as const) : (['b', 'a'] as const)) {
    const [busy, resting] = label === 'a' ? [a, b] : [b, a];
    measured[label] = await runBeside(benchCase, options, busy, resting, label);
    if (benchCase.rw.endsWith('write'))
      for (const side of options.sides) flushImage(side.imagePath);
  }
  const { a: ofA, b: ofB } = measured;
  if (!ofA || !ofB) throw new Error('a side was not measured');
  return { a: ofA, b: ofB };
}

/**
 * Every round gets daemons of its own, started in alternating order and on alternating images, and
 * so the rounds of a case lie minutes apart. With one pair for all rounds of a case, back to back,
 * A/A of equal daemons once gave 0.69 [0.62..0.74]: rounds shared something (which of pair, image
 * or moment was not isolated), and the spread could not show it.
 */
async function startPair(
  options: ComparisonOptions,
  setting: DaemonSetting,
  round: number,
): Promise<Pair> {
  const [a, b] = imagesOfRound(options.sides, round);
  if (round % 2 === 0) {
    const first = await startDaemon(a, setting, options.environment);
    return [first, await startDaemon(b, setting, options.environment)];
  }
  const first = await startDaemon(b, setting, options.environment);
  return [await startDaemon(a, setting, options.environment), first];
}

/** Swaps every second pair of rounds: independent of who starts first. */
export function imagesOfRound(sides: readonly [Side, Side], round: number): [Side, Side] {
  const [a, b] = sides;
  if (round % 4 < 2) return [a, b];
  return [
    { ...a, imagePath: b.imagePath },
    { ...b, imagePath: a.imagePath },
  ];
}

/** O_DIRECT through a file with cached pages pays for coherence; the page cache must be warm. */
function prepareCache(cache: BenchCase['cache'], sides: readonly Side[]): void {
  for (const { imagePath } of sides) {
    if (!imageIsIntact(imagePath))
      throw new Error(`${imagePath} lost its pattern: data was damaged`);
    if (cache === 'direct') dropFromPageCache(imagePath);
  }
}

async function compareGroup(
  group: readonly BenchCase[],
  setting: DaemonSetting,
  options: ComparisonOptions,
  stalls: Stall[],
): Promise<CaseRow[]> {
  const runs = group.map((benchCase) => ({ benchCase, samples: { a: [], b: [] } as Samples }));
  for (let round = 0; round < options.rounds; round += 1) {
    let pair = await startPair(options, setting, round);
    for (const { benchCase, samples } of runs) {
      while (samples.a.length <= round) {
        try {
          const { a, b } = await runPair(benchCase, options, pair, round);
          samples.a.push(a);
          samples.b.push(b);
        } catch (error) {
          noteStall(error, stalls, options);
          await stopPair(pair);
          pair = await startPair(options, setting, round);
        }
      }
    }
    await stopPair(pair);
  }
  return runs.map(({ benchCase, samples }) => caseRow(benchCase, samples.a, samples.b));
}

/** Anything but a stall, a data mismatch above all, ends the whole comparison. */
function noteStall(error: unknown, stalls: Stall[], options: ComparisonOptions): void {
  if (!(error instanceof StallError)) throw error;
  stalls.push(error.stall);
  options.print(`STALL of ${error.stall.label.toUpperCase()}: ${error.message}`);
  if (stalls.length > STALLS_MAX) throw error;
}

async function stopPair(pair: Pair): Promise<void> {
  await stopDaemon(pair[0]);
  await stopDaemon(pair[1]);
}

export async function compareSides(
  cases: readonly BenchCase[],
  options: ComparisonOptions,
): Promise<Compared> {
  const rows: CaseRow[] = [];
  const stalls: Stall[] = [];
  for (const [name, group] of groupBySetting(cases)) {
    const [first] = group;
    if (!first) continue;
    options.print(`# daemons: ${name}`);
    prepareCache(first.cache, options.sides);
    const compared = await compareGroup(group, first, options, stalls);
    for (const row of compared) options.print(formatProgress(row));
    rows.push(...compared);
  }
  return { rows, stalls };
}
