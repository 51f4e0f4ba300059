import { type Comparison, compare } from '../common/statistics.js';

/** Two sides next to each other in every round; more is better for all. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly rounds: number;
  readonly value: Comparison;
  /** The ratio A:B that is promised. */
  readonly target?: number | undefined;
  readonly samples: { readonly a: readonly number[]; readonly b: readonly number[] };
}

export function row(
  name: string,
  unit: string,
  a: readonly number[],
  b: readonly number[],
  target?: number,
): Row {
  return { name, unit, rounds: a.length, value: compare(a, b), target, samples: { a, b } };
}

const HEADER = ['case', 'unit', 'A', 'B', 'A:B [min..max]', 'target'];

const figure = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value.toPrecision(3).replace(/e\+\d+$/, '');

export function targetCell({ target, value }: Row): string {
  if (target === undefined) return '-';
  return `>= ${target.toFixed(2)} ${value.ratio >= target ? 'met' : 'MISSED'}`;
}

function cells(line: Row): string[] {
  const { a, b, ratio, ratioMin, ratioMax } = line.value;
  const spread = `${ratio.toFixed(2)} [${ratioMin.toFixed(2)}..${ratioMax.toFixed(2)}]`;
  return [line.name, line.unit, figure(a), figure(b), spread, targetCell(line)];
}

export function formatTable(rows: readonly Row[]): string {
  const lines = [HEADER, HEADER.map((title) => '-'.repeat(title.length)), ...rows.map(cells)];
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
