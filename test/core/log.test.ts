import t from 'tap';
import { rateLimited, SILENT_LOG } from '../../src/core/log.js';

t.test('the silent log has every method', async (t) => {
  for (const method of ['error', 'warn', 'info', 'debug'] as const) {
    t.equal(SILENT_LOG[method]({}, 'unheard'), undefined);
  }
});

/** Writes one line at each time and returns what got through. */
function linesAt(timesMs: readonly number[]): string[] {
  const lines: string[] = [];
  let nowMs = 0;
  const write = rateLimited(
    (fields, message) => lines.push('leftOut' in fields ? `left out ${fields.leftOut}` : message),
    () => nowMs,
  );
  timesMs.forEach((timeMs, i) => {
    nowMs = timeMs;
    write({}, `${i}`);
  });
  return lines;
}

const times = (count: number, atMs: number) => new Array<number>(count).fill(atMs);
const numbers = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `${from + i}`);

t.test('ten lines in ten seconds', async (t) => {
  const rows: readonly (readonly [what: string, timesMs: number[], lines: string[]])[] = [
    ['ten pass', times(10, 0), numbers(0, 10)],
    ['the eleventh does not', times(11, 0), numbers(0, 10)],
    ['a window lasts 10 s', [...times(11, 0), 9999], numbers(0, 10)],
    [
      'a new window tells what is missing',
      [...times(15, 5), 10_005],
      [...numbers(0, 10), 'left out 5', '15'],
    ],
    ['nothing missing, nothing told', [...times(10, 0), 10_000], numbers(0, 11)],
    [
      'told once',
      [...times(11, 0), ...times(2, 10_000), 20_000],
      [...numbers(0, 10), 'left out 1', '11', '12', '13'],
    ],
    ['a clock that starts late', times(3, 1e9), numbers(0, 3)],
  ];
  for (const [what, timesMs, lines] of rows) {
    t.same(linesAt(timesMs), lines, what);
  }
});

t.test('a real clock will do', async (t) => {
  let lines = 0;
  const write = rateLimited(() => lines++);
  for (let i = 0; i < 1000; i++) {
    write({}, 'flood');
  }
  t.equal(lines, 10);
});
