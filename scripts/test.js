// Runs every test: style, native core (plain and under sanitizers), TypeScript units, end to end, real
// guests. `node scripts/test.js --only unit,guest` picks steps. Ends with "N passed, N failed".
//
// Two lanes run side by side: compiling the native tests and emulating a guest keep one CPU busy for
// minutes, where most of the others wait for a daemon. What a step says is printed when it has ended.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

/** Compiled test files below dist/test, those in `guestDirectories` apart. */
function testFiles(wantGuest) {
  const guestDirectories = ['dist/test/qemu/'];
  return readdirSync('dist/test', { recursive: true })
    .map((name) => join('dist/test', name))
    .filter((name) => name.endsWith('.test.js') && existsSync(sourceOf(name)))
    .filter((name) => guestDirectories.some((place) => name.startsWith(place)) === wantGuest)
    .sort();
}

/** A compiled file whose source is gone is a leftover, not a test. */
function sourceOf(compiled) {
  return compiled.replace(/^dist\//, '').replace(/\.js$/, '.ts');
}

/** Files that failed are run once more, alone: on a loaded machine a wait can be too short. What
 *  fails twice has failed; what fails once is named. */
function tap(name, files, jobs, timeoutSeconds) {
  const save = `.tap/failed-${name}`;
  const run = (jobCount) => {
    const options = [`--jobs=${jobCount}`, `--timeout=${timeoutSeconds}`, '--reporter=terse'];
    const bin = 'node_modules/tap/dist/esm/run.mjs';
    return start(process.execPath, [bin, 'run', ...options, `--save=${save}`, ...files]);
  };
  return async () => {
    mkdirSync('.tap', { recursive: true });
    rmSync(save, { force: true });
    const first = await run(jobs);
    if (first.status === 0 || !existsSync(save)) return first;
    const again = `test: ${name}: once more, alone:\n${readFileSync(save, 'utf8')}`;
    const second = await run(1);
    return { status: second.status, output: first.output + again + second.output };
  };
}

/** Resolves with the exit status and everything the command said. */
function start(command, args) {
  return new Promise((resolve) => {
    const env = { ...process.env, CI: 'true' };
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.once('error', (error) =>
      resolve({ status: -1, output: `${command}: ${error.message}\n` }),
    );
    child.once('close', (status) => resolve({ status, output }));
  });
}

const cppFiles = ['native/core', 'native/binding', 'native/test', 'bench/blk']
  .filter((place) => existsSync(place))
  .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
  .filter((name) => /\.(h|cc)$/.test(name));

const biome = ['node_modules/@biomejs/biome/bin/biome', 'check', '.'];
const LANES = [
  [
    ['style', () => start(process.execPath, biome)],
    ['clang-format', () => start('clang-format', ['--dry-run', '--Werror', ...cppFiles])],
    ['unit', tap('unit', testFiles(false), 2, 300)],
  ],
  [
    ['native', () => start(process.execPath, ['scripts/native-test.js'])],
    ['guest', tap('guest', testFiles(true), 1, 300)],
  ],
];

const only = process.argv[2] === '--only' ? (process.argv[3] ?? '').split(',') : undefined;
let passed = 0;
let failed = 0;

async function runLane(steps) {
  for (const [name, run] of steps) {
    if (only !== undefined && !only.includes(name)) continue;
    console.log(`test: ${name}: runs`);
    const startMs = Date.now();
    const { status, output } = await run();
    const seconds = ((Date.now() - startMs) / 1000).toFixed(1);
    process.stdout.write(output);
    console.log(`test: ${name}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds} s`);
    if (status === 0) passed++;
    else failed++;
  }
}

await Promise.all(LANES.map(runLane));
console.log(`steps: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
