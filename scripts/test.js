// Runs every test: style, native core (plain and under sanitizers), TypeScript units, end to end, real
// guests. `node scripts/test.js --only unit,guest` picks steps. Ends with "N passed, N failed".

import { spawnSync } from 'node:child_process';
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
  return () => {
    mkdirSync('.tap', { recursive: true });
    rmSync(save, { force: true });
    const status = run(jobs);
    if (status === 0 || !existsSync(save)) return status;
    console.log(`test: ${name}: once more, alone:\n${readFileSync(save, 'utf8')}`);
    return run(1);
  };
}

function start(command, args) {
  const { status, error } = spawnSync(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CI: 'true' },
  });
  if (error !== undefined) console.error(`test: ${command}: ${error.message}`);
  return status;
}

const cppFiles = ['native/core', 'native/binding', 'native/test', 'bench/blk']
  .filter((place) => existsSync(place))
  .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
  .filter((name) => /\.(h|cc)$/.test(name));

const STEPS = [
  ['style', () => start(process.execPath, ['node_modules/@biomejs/biome/bin/biome', 'check', '.'])],
  ['clang-format', () => start('clang-format', ['--dry-run', '--Werror', ...cppFiles])],
  ['native', () => start(process.execPath, ['scripts/native-test.js'])],
  ['unit', tap('unit', testFiles(false), 3, 300)],
  ['guest', tap('guest', testFiles(true), 1, 300)],
];

const only = process.argv[2] === '--only' ? (process.argv[3] ?? '').split(',') : undefined;
let passed = 0;
const failed = [];
for (const [name, run] of STEPS) {
  if (only !== undefined && !only.includes(name)) continue;
  const startMs = Date.now();
  const status = run();
  const seconds = ((Date.now() - startMs) / 1000).toFixed(1);
  console.log(`test: ${name}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds} s`);
  if (status === 0) passed++;
  else failed.push(name);
}
console.log(`steps: ${passed} passed, ${failed.length} failed`);
process.exit(failed.length === 0 ? 0 : 1);
