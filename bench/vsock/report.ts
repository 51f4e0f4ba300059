import { type Comparison, compare, median } from '../common/statistics.js';
import { type BenchCase, METRICS, type Metric, type PeerName, type Target } from './cases.js';
import type { SideName } from './side.js';

/** One run of the load generator, as it prints it. */
export type Sample = Readonly<Partial<Record<Metric, number>>>;
export type Samples = ReadonlyMap<SideName, readonly Sample[]>;

export interface Verdict extends Target {
  /** The ratio or the absolute figure that was measured. */
  readonly measured: number;
  readonly met: boolean;
}

export interface MetricRow {
  readonly metric: Metric;
  readonly vsock: number;
  readonly vsockMin: number;
  readonly vsockMax: number;
  /** vsock beside each peer that has the figure too. */
  readonly peers: Readonly<Partial<Record<PeerName, Comparison>>>;
}

export interface CaseRow {
  readonly name: string;
  readonly rounds: number;
  readonly metrics: readonly MetricRow[];
  readonly verdicts: readonly Verdict[];
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
}

/** A metric of one side, by round; undefined when it does not have it. */
function column(samples: Samples, side: SideName, metric: Metric): number[] | undefined {
  const values = (samples.get(side) ?? []).map((sample) => sample[metric]);
  const known = values.filter((value) => value !== undefined);
  return known.length > 0 && known.length === values.length ? known : undefined;
}

function metricRow(benchCase: BenchCase, metric: Metric, samples: Samples): MetricRow | undefined {
  const own = column(samples, 'vsock', metric);
  if (own === undefined) {
    return undefined;
  }
  const peers: Partial<Record<PeerName, Comparison>> = {};
  for (const peer of benchCase.peers) {
    const theirs = column(samples, peer, metric);
    if (theirs !== undefined) {
      peers[peer] = compare(own, theirs);
    }
  }
  const [vsockMin, vsockMax] = [Math.min(...own), Math.max(...own)];
  return { metric, vsock: median(own), vsockMin, vsockMax, peers };
}

/** Undefined when its peer was not there. */
export function judge(target: Target, rows: readonly MetricRow[]): Verdict | undefined {
  const row = rows.find(({ metric }) => metric === target.metric);
  const measured = target.peer === undefined ? row?.vsock : row?.peers[target.peer]?.ratio;
  if (measured === undefined) {
    return undefined;
  }
  const met = target.relation === '>=' ? measured >= target.value : measured <= target.value;
  return { ...target, measured, met };
}

export function caseRow(benchCase: BenchCase, samples: Samples): CaseRow {
  const metrics = benchCase.metrics
    .map((metric) => metricRow(benchCase, metric, samples))
    .filter((row) => row !== undefined);
  const verdicts = benchCase.targets
    .map((target) => judge(target, metrics))
    .filter((verdict) => verdict !== undefined);
  const rounds = samples.get('vsock')?.length ?? 0;
  return { name: benchCase.name, rounds, metrics, verdicts, samples: Object.fromEntries(samples) };
}

/** Three digits, no exponent. */
export function figure(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

const spread = (min: number, max: number, show: (value: number) => string): string =>
  `[${show(min)}..${show(max)}]`;

function peerText([name, { b, ratio, ratioMin, ratioMax }]: [string, Comparison]): string {
  const two = (value: number) => value.toFixed(2);
  return `${name} ${figure(b)}, ratio ${two(ratio)} ${spread(ratioMin, ratioMax, two)}`;
}

function verdictText({ relation, value, peer, met }: Verdict): string {
  const of = peer === undefined ? figure(value) : `${value} x ${peer}`;
  return `${relation} ${of} ${met ? 'met' : 'MISSED'}`;
}

/** A line for each figure of a case. */
export function formatRow(row: CaseRow): string {
  return row.metrics
    .map((one) => {
      const own = `${figure(one.vsock)} ${spread(one.vsockMin, one.vsockMax, figure)}`;
      const peers = Object.entries(one.peers).map(peerText);
      const verdicts = row.verdicts.filter(({ metric }) => metric === one.metric).map(verdictText);
      const rest = [...peers, ...verdicts].join('; ');
      return `${row.name.padEnd(34)} ${METRICS[one.metric].padEnd(14)} ${own.padEnd(22)} ${rest}`;
    })
    .map((line) => line.trimEnd())
    .join('\n');
}
