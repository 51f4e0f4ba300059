// Start-up: listening within a small multiple of what Node itself takes, in little memory. The goal
// is 2.5 x and 80 MiB; time on a loaded machine is coarse, so the test draws its line further out
// and only a lost bundle (4 x) or worse trips it.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { plainNode } from '../../src/testing/index.js';
import { imageFile, startListening, temporaryDirectory, until } from './command.js';

const ROUNDS = 7;
const TIMES_NODE_MAX = 3.5;
const RESIDENT_MIB_MAX = 80;

const directory = temporaryDirectory();
const image = imageFile(directory, 'image', 1 << 20);
const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] as number;

t.test('time and memory', async (t) => {
  const nodeMs: number[] = [];
  const ourMs: number[] = [];
  const residentMib: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const nodeStartMs = performance.now();
    spawnSync('env', plainNode('-e', ['0']));
    nodeMs.push(performance.now() - nodeStartMs);

    const startMs = performance.now();
    const words = ['blk', '--socket', `${directory}/s`, '--image', image];
    const { child, outcome, stderr } = await startListening(words);
    ourMs.push(performance.now() - startMs);
    await until('the workers', () => stderr().includes('workers run'));
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    residentMib.push(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
    child.kill('SIGTERM');
    await outcome;
  }
  const times = median(ourMs) / median(nodeMs);
  t.comment(
    `listening after ${median(ourMs).toFixed(0)} ms, node -e 0 ${median(nodeMs).toFixed(0)} ms: ` +
      `${times.toFixed(2)} x; resident ${median(residentMib).toFixed(0)} MiB`,
  );
  t.ok(times <= TIMES_NODE_MAX, `${times.toFixed(2)} x node`);
  t.ok(median(residentMib) <= RESIDENT_MIB_MAX, `${median(residentMib)} MiB`);
});
