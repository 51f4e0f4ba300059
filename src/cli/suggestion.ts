// "Did you mean": the known word closest to a mistyped one.

/** Two slips: a wrong letter and a missing one. More is another word. */
const SLIPS_MAX = 2;

export function nearest(typed: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestSlips = SLIPS_MAX + 1;
  for (const word of known) {
    const slips = editDistance(typed, word);
    // As many slips as letters make any word of any other.
    if (slips < bestSlips && slips < word.length) {
      best = word;
      bestSlips = slips;
    }
  }
  return best;
}

/** Levenshtein's: letters added, left out or changed. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
