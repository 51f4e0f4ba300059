// Builds native/core and native/test, without Node's headers, and runs the tests: once with the core
// as it is, once with the core under AddressSanitizer and UndefinedBehaviorSanitizer; with the latter
// also what the fuzz targets have found so far, and a second of something like it for each.
//   node scripts/native-test.js [--plain] [--asan] [--tsan] [--coverage] [--only TEXT] [--jobs N]
// --coverage needs clang: which lines and branches of the core all that ran, and 95 and 85 % of them.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  addonObjects,
  buildObjects,
  environmentFlags,
  link,
  root,
  sourcesIn,
  TEST_PRELUDE,
} from './native-build.js';
import { profilingEnvironment, reportCoverage } from './native-coverage.js';

const gcc = process.env.CXX ?? 'g++';
const clang = process.env.CLANGXX ?? 'clang++';
const commonFlags = [
  ...['-std=c++20', '-g1', '-Wall', '-Wextra', '-Werror', '-pthread', '-Inative/core'],
  ...environmentFlags('CXXFLAGS'),
];
// The core's, where the addon's objects don't serve. Optimised a little: the data plane's races show
// up only when the code is quick. The tests are not, which would double what they cost.
const coreFlags = ['-O1'];
// A hang is a failure too; the whole run takes a few seconds, under ThreadSanitizer two minutes.
const runTimeoutMs = 300_000;
const replayMs = 1000;

/**
 * `flags` are the core's. The tests, half of all the code, are compiled once for every variant that
 * can do without their instrumentation: what they hand to the core lies in mappings and on the heap,
 * where an instrumented core finds its own faults.
 */
const variants = [
  { name: 'plain', asShipped: true, byDefault: true },
  {
    name: 'asan',
    flags: ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'],
    replaysCorpora: true,
    byDefault: true,
  },
  {
    name: 'tsan',
    // It must see both sides of each race, and each lock and atomic.
    // It does not know fences, and g++ says so for each: -Wno-tsan.
    flags: ['-fsanitize=thread', '-Wno-tsan'],
    environment: { TSAN_OPTIONS: 'suppressions=native/test/tsan-suppressions.txt' },
    instrumentTests: true,
  },
  {
    name: 'coverage',
    compiler: clang,
    flags: ['-fprofile-instr-generate', '-fcoverage-mapping'],
    replaysCorpora: true,
    reports: true,
  },
];

const directoryOf = (name) => join('.cache/native-test', name);

/** Objects of a directory of sources, the core's or those that test it. */
function objectsOf({ compiler = gcc }, source, directory, flags, jobs) {
  return buildObjects({
    compiler,
    flags: [...commonFlags, ...flags],
    directory: directoryOf(directory),
    sources: sourcesIn(source),
    prelude: source === 'native/test' ? TEST_PRELUDE : undefined,
    jobs,
  });
}

async function coreOf(variant, jobs) {
  const { name, flags = [], asShipped = false } = variant;
  const shipped = asShipped ? addonObjects(sourcesIn('native/core')) : undefined;
  return (
    shipped ?? objectsOf(variant, 'native/core', `core-${name}`, [...coreFlags, ...flags], jobs)
  );
}

async function linkTests({ compiler = gcc, flags = [] }, name, core, tests) {
  const program = directoryOf(name);
  // The core first: of an inline function in both the linker takes the first, instrumented one.
  await link({
    compiler,
    flags: [...commonFlags, ...flags],
    objects: [...core, ...tests],
    program,
  });
  return join(root, program);
}

/** What a variant runs: programs, their arguments, and the names they are shown under. */
async function build(variant, jobs, only) {
  const { name, compiler = gcc, instrumentTests = false, replaysCorpora = false } = variant;
  const core = await coreOf(variant, jobs);
  // Objects of one compiler are no good to another's run-time libraries.
  const suffix = compiler === gcc ? '' : `-${name}`;
  const tests = instrumentTests
    ? await objectsOf(
        variant,
        'native/test',
        `test-${name}`,
        [...coreFlags, ...variant.flags],
        jobs,
      )
    : await objectsOf(variant, 'native/test', `test${suffix}`, [], jobs);
  const program = await linkTests(variant, name, core, tests);
  const runs = [{ name, program, args: only === undefined ? [] : [only] }];
  if (!replaysCorpora || only !== undefined) return runs;
  const replayFlags = ['-Inative/fuzz', '-DVHOST_FUZZ_REPLAY'];
  const targets = await objectsOf(
    ...[variant, 'native/fuzz', `replay-objects${suffix}`, replayFlags, jobs],
  );
  const replay = await linkTests(variant, `replay${suffix}`, core, targets);
  runs.push({ name: 'replay', program: replay, args: ['native/fuzz/corpus', String(replayMs)] });
  return runs;
}

/** True when every test passed. */
function test({ name, program, args }, verbose, environment) {
  const started = Date.now();
  const { status, signal, stdout, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: runTimeoutMs,
    killSignal: 'SIGKILL',
  });
  if (error && stdout === null) throw error;
  const ok = status === 0;
  const lines = stdout.trimEnd().split('\n');
  const shown = ok && !verbose ? lines.filter((line) => !line.startsWith('ok')) : lines;
  const how = signal === null ? `status ${status}` : signal;
  console.log([`# native-test ${name}`, ...shown].join('\n'));
  console.log(`# ${name}: ${how}, ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return ok;
}

const { values } = parseArgs({
  options: {
    ...Object.fromEntries(variants.map(({ name }) => [name, { type: 'boolean' }])),
    only: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const asked = variants.filter(({ name }) => values[name]);
const wanted = asked.length > 0 ? asked : variants.filter(({ byDefault }) => byDefault);
try {
  const results = [];
  for (const variant of wanted) {
    const runs = await build(variant, Number(values.jobs), values.only);
    const environment = variant.reports ? profilingEnvironment() : variant.environment;
    for (const run of runs) results.push(test(run, values.only !== undefined, environment));
    if (variant.reports) results.push(reportCoverage(runs.map(({ program }) => program)));
  }
  process.exitCode = results.every(Boolean) ? 0 : 1;
} catch (error) {
  console.error(`native-test: ${error.message}`);
  process.exitCode = 1;
}
