/** What is compared, and which ratio the project promises for it. */
export const METRICS = ['iops', 'p50Us', 'p99Us', 'cpuUsPerRequest'] as const;
export type Metric = (typeof METRICS)[number];

export interface Target {
  readonly metric: Metric;
  readonly relation: '>=' | '<=';
  readonly ratio: number;
}

/** What a daemon is started with; cases that share it share the daemons. */
export interface DaemonSetting {
  readonly cache: 'page' | 'direct';
  readonly queues: number;
  /** undefined: what the daemon does when nothing is said. */
  readonly pollUs?: number;
}

export interface BenchCase extends DaemonSetting {
  readonly name: string;
  readonly rw: 'randread' | 'randwrite' | 'read' | 'write';
  readonly blockBytes: number;
  readonly depth: number;
  readonly mode: 'event' | 'poll';
  readonly targets: readonly Target[];
}

export const DEPTHS = [1, 8, 32, 128] as const;
const RANDOM_BYTES = 4096;
const SEQUENTIAL_BYTES = 128 * 1024;
const SEQUENTIAL_DEPTH = 8;
const SPIN_US = 50;
// A disk read takes longer than the cache's: the spin has to outlast it.
const DIRECT_SPIN_US = 200;

const atLeast = (metric: Metric, ratio: number): Target => ({ metric, relation: '>=', ratio });
const atMost = (metric: Metric, ratio: number): Target => ({ metric, relation: '<=', ratio });

const PAGE_EVENT: Readonly<Record<number, readonly Target[]>> = {
  8: [atLeast('iops', 1.4)],
  32: [atLeast('iops', 2.2), atMost('cpuUsPerRequest', 0.5)],
  128: [atLeast('iops', 3.0)],
};
const NEVER_BEHIND: readonly Target[] = [atLeast('iops', 1.0)];

function pageReadTargets(depth: number, queues: number, mode: BenchCase['mode']) {
  if (queues > 1) return NEVER_BEHIND;
  if (mode === 'poll' && depth > 1) return [atLeast('iops', 1.3)];
  return mode === 'event' ? (PAGE_EVENT[depth] ?? []) : [];
}

function directReadTargets(depth: number): readonly Target[] {
  const speed = atLeast('iops', 0.97);
  return depth >= 32 ? [speed, atMost('cpuUsPerRequest', 0.7)] : [speed];
}

type Shape = Omit<BenchCase, 'name'>;

function named(shape: Shape): BenchCase {
  const spin = shape.pollUs === undefined ? '' : `/spin${shape.pollUs}`;
  const size = `${shape.blockBytes / 1024}k`;
  const load = `${shape.rw}/${size}/qd${shape.depth}/q${shape.queues}/${shape.mode}`;
  return { ...shape, name: `${shape.cache}/${load}${spin}` };
}

function randomReads(): Shape[] {
  const base = { rw: 'randread', blockBytes: RANDOM_BYTES } as const;
  const shapes: Shape[] = [];
  for (const queues of [1, 4]) {
    for (const mode of ['event', 'poll'] as const) {
      for (const depth of DEPTHS) {
        const targets = pageReadTargets(depth, queues, mode);
        shapes.push({ ...base, cache: 'page', queues, mode, depth, targets });
      }
    }
  }
  for (const mode of ['event', 'poll'] as const) {
    for (const depth of DEPTHS) {
      const targets = directReadTargets(depth);
      shapes.push({ ...base, cache: 'direct', queues: 1, mode, depth, targets });
    }
  }
  return shapes;
}

/** Spinning otherwise than by default: longer for latency, and not at all. */
function otherSpins(): Shape[] {
  const base = { rw: 'randread', blockBytes: RANDOM_BYTES, queues: 1, mode: 'event' } as const;
  return [
    { ...base, cache: 'page', depth: 1, pollUs: SPIN_US, targets: [atMost('p50Us', 0.6)] },
    { ...base, cache: 'direct', depth: 1, pollUs: DIRECT_SPIN_US, targets: [atLeast('iops', 1.2)] },
    ...DEPTHS.map((depth): Shape => {
      const targets = depth === 1 ? [atMost('p50Us', 1.0)] : [];
      return { ...base, cache: 'page', depth, pollUs: 0, targets };
    }),
  ];
}

function writesAndStreams(): Shape[] {
  const base = { cache: 'page', queues: 1, mode: 'event' } as const;
  const writes = DEPTHS.map(
    (depth) => ({ rw: 'randwrite', blockBytes: RANDOM_BYTES, depth }) as const,
  );
  const streams = (['read', 'write'] as const).map(
    (rw) => ({ rw, blockBytes: SEQUENTIAL_BYTES, depth: SEQUENTIAL_DEPTH }) as const,
  );
  return [...writes, ...streams].map((shape) => ({ ...base, ...shape, targets: NEVER_BEHIND }));
}

export function allCases(): BenchCase[] {
  return [...randomReads(), ...otherSpins(), ...writesAndStreams()].map(named);
}

export const settingKey = (setting: DaemonSetting): string =>
  `${setting.cache}/q${setting.queues}/spin${setting.pollUs ?? ''}`;

/** Cases in the order they run: each daemon setting once, reads before anything dirties pages. */
export function groupBySetting(cases: readonly BenchCase[]): Map<string, BenchCase[]> {
  const groups = new Map<string, BenchCase[]>();
  const order = [...cases].sort((left, right) => writes(left) - writes(right));
  for (const benchCase of order) {
    const key = settingKey(benchCase);
    const group = groups.get(key);
    if (group) group.push(benchCase);
    else groups.set(key, [benchCase]);
  }
  return groups;
}

const writes = (benchCase: BenchCase): number => (benchCase.rw.endsWith('write') ? 1 : 0);
