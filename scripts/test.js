// Runs every test: style, native core (plain and under sanitizers), TypeScript units, end to end, real
// guests. `node scripts/test.js --only unit,guest` picks steps. Ends with "N passed, N failed".
//
// Each file is a program that speaks TAP, run by plain Node: tap's own runner costs each of them, and
// each daemon they start, a second of loading. The twins of one room share a process for the same
// reason. A few jobs run at a time, the longest first: a guest that boots and a compiler keep their
// CPUs busy, most of the others wait for a daemon.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

// The longest file, guests of two kernels, takes two minutes on two loaded CPUs.
const FILE_SECONDS_MAX = 300;
// Whatever hangs beyond that is killed: CI has an end too.
const JOB_SECONDS_MAX = 400;
// Two CPUs, and a third job because half of them sleep half of the time.
const JOBS_AT_A_TIME = 3;
const SECONDS_WORTH_A_LINE = 15;
// What runs for seconds or starts daemons runs alone, and so does what counts its process's descriptors.
const PLACES_OF_LONE_FILES = ['dist/test/e2e', 'dist/test/commands', 'dist/test/native'];
const COUNTS_DESCRIPTORS = /\bopenDescriptors\b/;

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

/** Resolves with the exit status and everything the command said. */
function start(command, args) {
  return new Promise((resolve) => {
    const env = { ...process.env, CI: 'true', TAP_TIMEOUT: String(FILE_SECONDS_MAX) };
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    const limit = setTimeout(() => child.kill('SIGKILL'), JOB_SECONDS_MAX * 1000);
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
  'native/fuzz',
  'bench/common',
  'bench/blk',
  'bench/vsock',
]
  .filter((place) => existsSync(place))
  .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
  .filter((name) => /\.(h|cc)$/.test(name));

const biome = ['node_modules/@biomejs/biome/bin/biome', 'check', '.'];

function isLone(file) {
  if (PLACES_OF_LONE_FILES.includes(dirname(file))) return true;
  return COUNTS_DESCRIPTORS.test(readFileSync(file, 'utf8'));
}

/** The unit tests: those of one room, which is a folder, as one job; lone files as a job each. */
function unitJobs() {
  const rooms = new Map();
  for (const file of testFiles(false)) {
    const room = isLone(file) ? file : dirname(file);
    rooms.set(room, [...(rooms.get(room) ?? []), file]);
  }
  return [...rooms].map(([room, files]) => ({
    ...job('unit', process.execPath, ['scripts/test-room.js', ...files]),
    title: room,
  }));
}

/** What runs by itself: a step's name and its command. Steps that take minutes come first. */
const JOBS = [
  job('native', process.execPath, ['scripts/native-test.js', '--jobs', '1']),
  ...testFiles(true).map((file) => job('guest', process.execPath, [file])),
  job('style', process.execPath, biome),
  job('clang-format', 'clang-format', ['--dry-run', '--Werror', ...cppFiles]),
  ...unitJobs(),
];

function job(step, command, args) {
  return { step, command, args, title: args.length === 1 ? args[0] : step };
}

async function run(job) {
  const { command, args, title } = job;
  const startMs = Date.now();
  const { status, output } = await start(command, args);
  const assertions = Number(/^# \{ total: (\d+)/m.exec(output)?.[1] ?? 1);
  const seconds = (Date.now() - startMs) / 1000;
  if (seconds > SECONDS_WORTH_A_LINE || status !== 0) {
    console.log(`test: ${title}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds.toFixed(1)} s`);
    // What failed once and passes alone leaves no other trace.
    const failed = output.match(/^ *not ok .*$/gm) ?? [];
    for (const line of failed) console.log(`test:   ${line.trim()}`);
  }
  return { ...job, status, output, assertions };
}

async function runAll(jobs, parallel) {
  const waiting = [...jobs];
  const done = [];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      done.push(await run(next));
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  return done;
}

const only = process.argv[2] === '--only' ? (process.argv[3] ?? '').split(',') : undefined;
const wanted = JOBS.filter(({ step }) => only === undefined || only.includes(step));
const first = await runAll(wanted, JOBS_AT_A_TIME);
// Once more, alone: on a loaded machine a wait can be too short. What fails twice has failed.
const again = first.filter(({ status }) => status !== 0);
if (again.length > 0) console.log(`test: once more, alone: ${again.map(({ title }) => title)}`);
const second = await runAll(again, 1);
const final = [...first.filter(({ status }) => status === 0), ...second];
for (const { title, status, output } of second) {
  if (status !== 0) process.stdout.write(`# ${title}\n${output}`);
}
for (const step of new Set(wanted.map(({ step }) => step))) {
  const results = final.filter((each) => each.step === step);
  const red = results.filter(({ status }) => status !== 0).length;
  const assertions = results.reduce((sum, each) => sum + each.assertions, 0);
  console.log(`test: ${step}: ${results.length} run, ${red} failed, ${assertions} assertions`);
}
const failed = final.filter(({ status }) => status !== 0).length;
console.log(`${final.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
