import { type Comparison, compare } from '../common/statistics.js';
import type { Metric, Target } from './cases.js';
import { METRICS } from './cases.js';

/** One run of the load generator, as it prints it. */
export type Sample = Readonly<Record<Metric, number>> & Readonly<Record<string, number | string>>;

export interface Verdict extends Target {
  readonly met: boolean;
}

export interface CaseRow {
  readonly name: string;
  readonly rounds: number;
  readonly metrics: Readonly<Record<Metric, Comparison>>;
  readonly verdicts: readonly Verdict[];
  readonly samples: { readonly a: readonly Sample[]; readonly b: readonly Sample[] };
}

export function judge(target: Target, ratio: number): Verdict {
  const met = target.relation === '>=' ? ratio >= target.ratio : ratio <= target.ratio;
  return { ...target, met };
}

export function caseRow(
  benchCase: { readonly name: string; readonly targets: readonly Target[] },
  a: readonly Sample[],
  b: readonly Sample[],
): CaseRow {
  const column = (metric: Metric) =>
    compare(
      a.map((sample) => sample[metric]),
      b.map((sample) => sample[metric]),
    );
  const metrics = {
    iops: column('iops'),
    p50Us: column('p50Us'),
    p99Us: column('p99Us'),
    cpuUsPerRequest: column('cpuUsPerRequest'),
  };
  const verdicts = benchCase.targets.map((target) => judge(target, metrics[target.metric].ratio));
  return { name: benchCase.name, rounds: a.length, metrics, verdicts, samples: { a, b } };
}

const METRIC_TITLES: Readonly<Record<Metric, string>> = {
  iops: 'kIOPS',
  p50Us: 'p50 us',
  p99Us: 'p99 us',
  cpuUsPerRequest: 'cpu us/req',
};

const ratioCell = (value: Comparison): string =>
  `${value.ratio.toFixed(2)} [${value.ratioMin.toFixed(2)}..${value.ratioMax.toFixed(2)}]`;

function valueCell(metric: Metric, value: Comparison): string {
  const scale = metric === 'iops' ? 1000 : 1;
  const digits = (side: number) => (side / scale).toPrecision(3).replace(/e\+\d+$/, '');
  const show = (side: number) => (side / scale >= 1000 ? (side / scale).toFixed(0) : digits(side));
  return `${show(value.a)} / ${show(value.b)}`;
}

export function targetCell(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return '-';
  return verdicts
    .map(({ metric, relation, ratio, met }) => {
      const name = METRIC_TITLES[metric].split(' ')[0]?.replace('kIOPS', 'iops');
      return `${name} ${relation} ${ratio.toFixed(2)} ${met ? 'met' : 'MISSED'}`;
    })
    .join(', ');
}

function cells(row: CaseRow): string[] {
  const metrics = METRICS.flatMap((metric) => {
    const value = row.metrics[metric];
    return [valueCell(metric, value), ratioCell(value)];
  });
  return [row.name, ...metrics, targetCell(row.verdicts)];
}

const HEADER = [
  'case',
  ...METRICS.flatMap((metric) => [`${METRIC_TITLES[metric]} A / B`, 'A:B [min..max]']),
  'target',
];

function aligned(lines: readonly (readonly string[])[]): string {
  const widths = HEADER.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function formatTable(rows: readonly CaseRow[]): string {
  const rule = HEADER.map((title) => '-'.repeat(title.length));
  return aligned([HEADER, rule, ...rows.map(cells)]);
}

/** The line printed while the comparison runs. */
export function formatProgress(row: CaseRow): string {
  const { iops, p50Us, cpuUsPerRequest } = row.metrics;
  const parts = [
    `iops ${ratioCell(iops)}`,
    `p50 ${ratioCell(p50Us)}`,
    `cpu ${ratioCell(cpuUsPerRequest)}`,
  ];
  return `${row.name.padEnd(38)} ${parts.join('  ')}  ${targetCell(row.verdicts)}`;
}
