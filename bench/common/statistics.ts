/** What repeated, interleaved runs of two sides say about each other. */
export interface Comparison {
  readonly a: number;
  readonly b: number;
  /** Median of the per-round ratios, not the ratio of the medians: the machine changes speed. */
  readonly ratio: number;
  readonly ratioMin: number;
  readonly ratioMax: number;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** A zero on both sides is a tie, not a division by zero. */
export function ratioOf(a: number, b: number): number {
  return a === b ? 1 : a / b;
}

/** Pairs round i of A with round i of B, which ran next to each other. */
export function compare(a: readonly number[], b: readonly number[]): Comparison {
  if (a.length !== b.length) throw new RangeError('both sides need the same number of rounds');
  const ratios = a.map((value, round) => ratioOf(value, b[round] ?? Number.NaN));
  return {
    a: median(a),
    b: median(b),
    ratio: median(ratios),
    ratioMin: Math.min(...ratios),
    ratioMax: Math.max(...ratios),
  };
}
