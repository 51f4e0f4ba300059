import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { pinned, residentBytes, start } from '../common/processes.js';
import { median } from '../common/statistics.js';
import type { BenchCase, DaemonSetting } from './cases.js';
import { type LoadSettings, runLoad } from './load-generator.js';
import { type DaemonEnvironment, type Side, startDaemon, stopDaemon } from './side.js';

/** What a daemon costs when nobody uses it. */
export interface Footprint {
  readonly name: string;
  readonly unit: string;
  readonly a: number;
  readonly b: number;
  readonly note: string;
  readonly met?: boolean;
}

const SETTLE_MS = 300;
const IDLE_SECONDS = 2;
const START_RATIO_MAX = 2.5;
const RESIDENT_MIB_MAX = 80;
/** Zero, but for the rounding of a clock that other work on the machine disturbs. */
const IDLE_US_PER_SECOND_MAX = 200;

const SETTING: DaemonSetting = { cache: 'page', queues: 1, pollUs: 0 };
const IDLE_CASE: BenchCase = {
  ...SETTING,
  name: 'idle',
  rw: 'randread',
  blockBytes: 4096,
  depth: 8,
  mode: 'event',
  targets: [],
};

async function emptyNodeMs(environment: DaemonEnvironment): Promise<number> {
  const before = performance.now();
  const line = { command: process.execPath, args: ['-e', '0'] };
  await once(start(pinned(line, environment.cpu)).process, 'exit');
  return performance.now() - before;
}

async function startOnce(side: Side, environment: DaemonEnvironment) {
  const daemon = await startDaemon(side, SETTING, environment);
  await sleep(SETTLE_MS);
  const residentMib = residentBytes(daemon.pid) / 2 ** 20;
  await stopDaemon(daemon);
  return { startMs: daemon.startMs, residentMib };
}

export async function measureStartup(
  sides: readonly [Side, Side],
  environment: DaemonEnvironment,
  rounds: number,
): Promise<Footprint[]> {
  const a = [];
  const b = [];
  const node: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    node.push(await emptyNodeMs(environment));
    a.push(await startOnce(sides[0], environment));
    b.push(await startOnce(sides[1], environment));
  }
  const startA = median(a.map((one) => one.startMs));
  const ratio = median(a.map((one, round) => one.startMs / (node[round] ?? Number.NaN)));
  const residentA = median(a.map((one) => one.residentMib));
  return [
    {
      name: 'startup/listening',
      unit: 'ms',
      a: startA,
      b: median(b.map((one) => one.startMs)),
      note: `node -e 0: ${median(node).toFixed(1)} ms, A is ${ratio.toFixed(2)} x (<= ${START_RATIO_MAX})`,
      met: ratio <= START_RATIO_MAX,
    },
    {
      name: 'startup/resident',
      unit: 'MiB',
      a: residentA,
      b: median(b.map((one) => one.residentMib)),
      note: `A <= ${RESIDENT_MIB_MAX} MiB`,
      met: residentA <= RESIDENT_MIB_MAX,
    },
  ];
}

/** With a session up and rings started, after traffic: spinning must have stopped. */
async function idleUsPerSecond(side: Side, environment: DaemonEnvironment, settings: LoadSettings) {
  const daemon = await startDaemon(side, SETTING, environment);
  const idle = { ...settings, idleSeconds: IDLE_SECONDS };
  const sample = await runLoad(IDLE_CASE, idle, daemon);
  await stopDaemon(daemon);
  return Number(sample.idleCpuUsPerSecond);
}

export async function measureIdle(
  sides: readonly [Side, Side],
  environment: DaemonEnvironment,
  settings: LoadSettings,
): Promise<Footprint[]> {
  const a = await idleUsPerSecond(sides[0], environment, settings);
  const b = await idleUsPerSecond(sides[1], environment, settings);
  const note = `A <= ${IDLE_US_PER_SECOND_MAX} us/s`;
  return [{ name: 'idle/cpu', unit: 'us/s', a, b, note, met: a <= IDLE_US_PER_SECOND_MAX }];
}

export function formatFootprint(row: Footprint): string {
  const verdict = row.met === undefined ? '' : row.met ? 'met' : 'MISSED';
  const values = `A ${row.a.toFixed(1)} ${row.unit}, B ${row.b.toFixed(1)} ${row.unit}`;
  return `${row.name.padEnd(20)} ${values.padEnd(34)} ${row.note} ${verdict}`;
}
