// Runs every test: style, native core (plain and under sanitizers), TypeScript units, end to end, real
// guests. `node scripts/test.js --only unit,guest` picks steps. Ends with "N passed, N failed".
//
// Two lanes run side by side: compiling the native tests and emulating a guest keep one CPU busy for
// minutes, where most of the others wait for a daemon. What a step says is printed when it has ended.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

// The longest file, guests of two kernels, takes two minutes on two loaded CPUs.
const FILE_SECONDS_MAX = 300;
// Whatever hangs beyond that is killed: CI has an end too.
const STEP_SECONDS_MAX = 400;

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

/** Each file is a program that speaks TAP, run by plain Node: tap's own runner costs each of them, and
 *  each daemon they start, a second of loading. Files that failed are run once more, alone: on a loaded
 *  machine a wait can be too short. What fails twice has failed; what fails once is named. */
function tap(files, jobs) {
  return async () => {
    const first = await runFiles(files, jobs);
    const failed = first.filter(({ status }) => status !== 0);
    const second = await runFiles(
      failed.map(({ file }) => file),
      1,
    );
    const final = [...first.filter(({ status }) => status === 0), ...second];
    const assertions = final.reduce((sum, { assertions }) => sum + assertions, 0);
    const lines = [
      ...failed.map(({ file, status }) => `once more, alone: ${file} (status ${status})\n`),
      ...second
        .filter(({ status }) => status !== 0)
        .map(({ file, output }) => `# ${file}\n${output}`),
      `${final.length} files, ${assertions} assertions\n`,
    ];
    return { status: second.some(({ status }) => status !== 0) ? 1 : 0, output: lines.join('') };
  };
}

async function runFiles(files, jobs) {
  const waiting = [...files];
  const done = [];
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const { status, output } = await start(process.execPath, [file]);
      const assertions = Number(/^# \{ total: (\d+)/m.exec(output)?.[1] ?? 0);
      done.push({ file, status, output, assertions });
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return done;
}

/** Resolves with the exit status and everything the command said. */
function start(command, args) {
  return new Promise((resolve) => {
    const env = { ...process.env, CI: 'true', TAP_TIMEOUT: String(FILE_SECONDS_MAX) };
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    const limit = setTimeout(() => child.kill('SIGKILL'), STEP_SECONDS_MAX * 1000);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.once('error', (error) =>
      resolve({ status: -1, output: `${command}: ${error.message}\n` }),
    );
    child.once('close', (status) => {
      clearTimeout(limit);
      resolve({ status, output });
    });
  });
}

const cppFiles = [
  'native/core',
  'native/binding',
  'native/test',
  'bench/common',
  'bench/blk',
  'bench/vsock',
]
  .filter((place) => existsSync(place))
  .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
  .filter((name) => /\.(h|cc)$/.test(name));

const biome = ['node_modules/@biomejs/biome/bin/biome', 'check', '.'];
const LANES = [
  [
    ['style', () => start(process.execPath, biome)],
    ['clang-format', () => start('clang-format', ['--dry-run', '--Werror', ...cppFiles])],
    ['unit', tap(testFiles(false), 2)],
  ],
  [
    ['native', () => start(process.execPath, ['scripts/native-test.js', '--jobs', '1'])],
    ['guest', tap(testFiles(true), 1)],
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
