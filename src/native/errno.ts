// Native calls answer -errno. One place turns that into an error with the name people know.

import { constants } from 'node:os';

// Two numbers have two names (EAGAIN, EOPNOTSUPP): the first listed is the one people use.
const NAMES = new Map(
  Object.entries(constants.errno)
    .reverse()
    .map(([name, number]) => [number, name]),
);

/** `EBADF` for 9; `E9999` for what this system has no name for. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `E${errno}`;
}

/** A failed system call. `code` is what Node's own errors carry: 'ENOENT', 'EADDRINUSE', … */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: string;
  readonly errno: number;

  constructor(call: string, errno: number) {
    super(`${call}: ${errnoName(errno)}`);
    this.code = errnoName(errno);
    this.errno = errno;
  }
}

/** `result` unless it is -errno, which is thrown. */
export function check(call: string, result: number): number {
  if (result < 0) {
    throw new SystemError(call, -result);
  }
  return result;
}
