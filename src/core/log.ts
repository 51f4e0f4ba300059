// The logger core asks for: pino fits it, and so does any object of these four methods.

export type LogMethod = (fields: Readonly<Record<string, unknown>>, message: string) => void;

/** error: a user's action failed. warn: odd but harmless. info: rare state change. debug: the
 *  rest. */
export interface Log {
  readonly error: LogMethod;
  readonly warn: LogMethod;
  readonly info: LogMethod;
  readonly debug: LogMethod;
}

const nothing: LogMethod = () => {};
export const SILENT_LOG: Log = { error: nothing, warn: nothing, info: nothing, debug: nothing };

/** Lines a peer can cause are bounded: unbounded logs fill disks (CVE-2014-3672). */
const LINES_PER_WINDOW_MAX = 10;
const WINDOW_MS = 10_000;

/** Passes at most ten lines in ten seconds; the first line of a new window tells how many were left
 *  out. */
export function rateLimited(write: LogMethod, nowMs: () => number = monotonicMs): LogMethod {
  let windowStartMs = Number.NEGATIVE_INFINITY;
  let lines = 0;
  return (fields, message) => {
    if (nowMs() - windowStartMs >= WINDOW_MS) {
      const leftOut = Math.max(0, lines - LINES_PER_WINDOW_MAX);
      windowStartMs = nowMs();
      lines = 0;
      if (leftOut > 0) {
        write({ leftOut }, 'similar lines were left out');
      }
    }
    lines++;
    if (lines <= LINES_PER_WINDOW_MAX) {
      write(fields, message);
    }
  };
}

function monotonicMs(): number {
  return performance.now();
}
