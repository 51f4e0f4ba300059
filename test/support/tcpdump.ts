// What tcpdump makes of a capture.

import { spawnSync } from 'node:child_process';
import type { Test } from 'tap';

/** It finds every frame, a line each, and no fault. No lines: it is not installed. */
export function decodes(t: Test, path: string, count: number): string[] {
  const args = ['-nn', '-e', '-tt', '-q', '--time-stamp-precision=nano', '-r', path];
  const { error, stdout, stderr } = spawnSync('tcpdump', args, { encoding: 'utf8' });
  if (error !== undefined) {
    t.comment('no tcpdump here');
    return [];
  }
  const lines = stdout.split('\n').filter((line) => /^\d+\.\d{9} /.test(line));
  t.equal(lines.length, count, 'frames tcpdump finds, with nanoseconds');
  t.match(stderr, /link-type EN10MB/);
  t.notMatch(stdout + stderr, /truncated|malformed|bogus|error/i);
  return lines;
}
