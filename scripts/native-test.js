// Builds native/core and native/test, without Node's headers, and runs the tests: once with the core
// as it is, once with the core under AddressSanitizer and UndefinedBehaviorSanitizer; with the latter
// also what the fuzz targets have found so far, and a second of something like it for each.
//   node scripts/native-test.js [--plain] [--asan] [--tsan] [--only TEXT] [--jobs N]
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildObjects, environmentFlags, link, root, sourcesIn } from './native-build.js';

const compiler = process.env.CXX ?? 'g++';
// Optimised a little: the data plane's races show up only when the code is quick.
const commonFlags = [
  ...['-std=c++20', '-O1', '-g1', '-Wall', '-Wextra', '-Werror', '-pthread', '-Inative/core'],
  ...environmentFlags('CXXFLAGS'),
];
// A hang is a failure too; the whole run takes a few seconds, under ThreadSanitizer a minute.
const runTimeoutMs = 180_000;
const replayMs = 1000;

/**
 * `flags` are the core's. The tests, half of all the code, are compiled once for every variant that
 * can do without their instrumentation: what they hand to the core lies in mappings and on the heap,
 * where an instrumented core finds its own faults.
 */
const variants = [
  { name: 'plain', flags: [], byDefault: true },
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
    instrumentTests: true,
    byDefault: false,
  },
];

const objectsOf = (source, directory, flags, jobs) =>
  buildObjects({
    compiler,
    flags: [...commonFlags, ...flags],
    directory: join('.cache/native-test', directory),
    sources: sourcesIn(source),
    jobs,
  });

async function linkTests({ name, flags }, core, tests) {
  const program = join('.cache/native-test', name);
  // The core first: of an inline function in both the linker takes the first, instrumented one.
  const objects = [...core, ...tests];
  await link({ compiler, flags: [...commonFlags, ...flags], objects, program });
  return join(root, program);
}

/** What a variant runs: programs, their arguments, and the names they are shown under. */
async function build(variant, jobs, only) {
  const { name, flags, instrumentTests = false, replaysCorpora = false } = variant;
  const core = await objectsOf('native/core', `core-${name}`, flags, jobs);
  const tests = instrumentTests
    ? await objectsOf('native/test', `test-${name}`, flags, jobs)
    : await objectsOf('native/test', 'test', [], jobs);
  const program = await linkTests(variant, core, tests);
  const runs = [{ name, program, args: only === undefined ? [] : [only] }];
  if (!replaysCorpora || only !== undefined) return runs;
  const replayFlags = ['-Inative/fuzz', '-DVHOST_FUZZ_REPLAY'];
  const targets = await objectsOf('native/fuzz', 'replay-objects', replayFlags, jobs);
  const replay = await linkTests({ name: 'replay', flags }, core, targets);
  runs.push({ name: 'replay', program: replay, args: ['native/fuzz/corpus', String(replayMs)] });
  return runs;
}

/** True when every test passed. */
function test({ name, program, args }, verbose) {
  const started = Date.now();
  const { status, signal, stdout, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
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
    for (const run of await build(variant, Number(values.jobs), values.only)) {
      results.push(test(run, values.only !== undefined));
    }
  }
  process.exitCode = results.every(Boolean) ? 0 : 1;
} catch (error) {
  console.error(`native-test: ${error.message}`);
  process.exitCode = 1;
}
