// Runs every test: style, native core (plain and under sanitizers), TypeScript units, end to end, real
// guests. `node scripts/test.js --only unit,guest` picks steps. Ends with "N passed, N failed".

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
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

function tap(files, jobs, timeoutSeconds) {
  const bin = 'node_modules/tap/dist/esm/run.mjs';
  const options = ['run', `--jobs=${jobs}`, `--timeout=${timeoutSeconds}`, '--reporter=terse'];
  return [process.execPath, bin, ...options, ...files];
}

const cppFiles = ['native/core', 'native/binding', 'native/test', 'bench/blk']
  .filter((place) => existsSync(place))
  .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
  .filter((name) => /\.(h|cc)$/.test(name));

const STEPS = [
  ['style', [process.execPath, 'node_modules/@biomejs/biome/bin/biome', 'check', '.']],
  ['clang-format', ['clang-format', '--dry-run', '--Werror', ...cppFiles]],
  ['native', [process.execPath, 'scripts/native-test.js']],
  ['unit', tap(testFiles(false), 2, 120)],
  ['guest', tap(testFiles(true), 1, 300)],
];

const only = process.argv[2] === '--only' ? (process.argv[3] ?? '').split(',') : undefined;
let passed = 0;
const failed = [];
for (const [name, [command, ...args]] of STEPS) {
  if (only !== undefined && !only.includes(name)) continue;
  const startMs = Date.now();
  const { status, error } = spawnSync(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CI: 'true' },
  });
  if (error !== undefined) console.error(`test: ${name}: ${error.message}`);
  const seconds = ((Date.now() - startMs) / 1000).toFixed(1);
  console.log(`test: ${name}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds} s`);
  if (status === 0) passed++;
  else failed.push(name);
}
console.log(`steps: ${passed} passed, ${failed.length} failed`);
process.exit(failed.length === 0 ? 0 : 1);
