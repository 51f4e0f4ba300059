// Fuzzes native/core with libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer.
//   node scripts/fuzz.js [--target NAME]... [--seconds 30]   each target: that long in all
//   node scripts/fuzz.js --merge    keeps of all inputs found so far the few that cover most
//   node scripts/fuzz.js --plants   breaks the core on purpose; each break must be found in a minute
// Needs clang. What is found new goes to .cache/fuzz/corpus; native/fuzz/corpus is what is kept.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildObjects, root, run, sourcesIn } from './native-build.js';

const compiler = process.env.CLANGXX ?? 'clang++';
const CACHE = '.cache/fuzz';
const KEPT = 'native/fuzz/corpus';
const PLANTS = 'native/fuzz/plants';
const sanitizers = '-fsanitize=address,undefined';
const commonFlags = [
  ...['-std=c++20', '-O2', '-g1', '-Wall', '-Wextra', '-pthread', '-Inative/core', '-Inative/fuzz'],
  ...[sanitizers, '-fno-sanitize-recover=all'],
];
// The core's decisions guide the fuzzer; those of the harness, which checks what comes out, don't.
const coreFlags = [...commonFlags, '-fsanitize=fuzzer-no-link'];

/** `mutator`: the target reads memory that another thread can rewrite meanwhile (mutator.h). */
const TARGETS = [
  { name: 'split-ring', mutator: true },
  { name: 'packed-ring', mutator: true },
  { name: 'split-inflight', mutator: true },
  { name: 'packed-inflight', mutator: true },
  { name: 'memory-table', mutator: true },
  { name: 'commands', mutator: true },
  { name: 'frames', mutator: false },
  { name: 'iotlb', mutator: false },
];
// Of a target's time; the rest is without, so that what is found can be kept as an input.
const MUTATOR_SHARE = 1 / 3;
const PLANT_SECONDS_MAX = 60;
const MERGE_SECONDS_MAX = 300;

// What is freed is written over sooner, and so is in the cache: each run allocates a few kilobytes.
const sanitizerEnvironment = {
  ASAN_OPTIONS: 'quarantine_size_mb=4:thread_local_quarantine_size_kb=256:malloc_context_size=6',
};

const fuzzerOptions = [
  // Longer inputs say the same again: a ring has a few dozen descriptors.
  '-max_len=256',
  '-timeout=10',
  '-rss_limit_mb=1024',
  // SIGBUS is the core's own: FaultGuard.
  '-handle_bus=0',
  '-print_final_stats=1',
];

class Builder {
  constructor(jobs) {
    this.jobs = jobs;
  }

  /** Objects of the core, and those every target is linked with, by source. */
  async prepare() {
    const objects = async (sources, flags, directory) => {
      const made = await buildObjects({
        ...{ compiler, flags, sources, jobs: this.jobs },
        directory: join(CACHE, directory),
      });
      return new Map(sources.map((source, i) => [source, made[i]]));
    };
    this.core = await objects(sourcesIn('native/core'), coreFlags, 'core');
    this.harness = await objects(sourcesIn('native/fuzz'), commonFlags, 'harness');
  }

  /** Links a target; `instead` replaces objects of the core. Returns the program. */
  async link(target, program, instead = new Map()) {
    const targetSource = `native/fuzz/${target}-fuzz.cc`;
    const harness = [...this.harness]
      .filter(([source]) => source === targetSource || !source.endsWith('-fuzz.cc'))
      .map(([, object]) => object);
    const core = [...new Map([...this.core, ...instead]).values()];
    const flags = ['-pthread', `${sanitizers},fuzzer`];
    await run(compiler, [...flags, ...harness, ...core, '-l:liburing.a', '-o', program]);
    return join(root, program);
  }
}

// So named that long runs are told from all other processes of a machine.
const programOf = (target) => join(CACHE, `fuzz-target-${target}`);

function seconds(startedMs) {
  return ((Date.now() - startedMs) / 1000).toFixed(1);
}

/** Runs a fuzzer. `found` says how it ended when it did not end well. */
function fuzz(program, directories, limitSeconds, environment = {}) {
  const findings = join(root, CACHE, 'findings');
  mkdirSync(findings, { recursive: true });
  const prefix = `-artifact_prefix=${findings}/${basename(program)}-`;
  const limit = `-max_total_time=${Math.max(1, Math.round(limitSeconds))}`;
  const result = spawnSync(program, [...fuzzerOptions, prefix, limit, ...directories], {
    cwd: root,
    encoding: 'utf8',
    env: { ...sanitizerEnvironment, ...process.env, ...environment },
    maxBuffer: 1 << 28,
  });
  if (result.error) throw result.error;
  const said = result.stderr;
  const executions = Number(/number_of_executed_units: (\d+)/.exec(said)?.[1] ?? 0);
  const found = result.status === 0 ? undefined : said.split('\n').slice(-60).join('\n');
  return { executions, found };
}

function corpusOf(target, place) {
  const directory = join(root, place, target);
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** Adds to what all runs on this machine have executed; returns the sum. */
function countExecutions(target, executions) {
  const file = join(root, CACHE, 'executions.json');
  const counts = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  counts[target] = (counts[target] ?? 0) + executions;
  writeFileSync(file, `${JSON.stringify(counts, null, 2)}\n`);
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** True when nothing was found. */
async function fuzzTarget(builder, { name, mutator }, limitSeconds) {
  const program = await builder.link(name, programOf(name));
  const corpora = [corpusOf(name, join(CACHE, 'corpus')), corpusOf(name, KEPT)];
  const scratch = mkdtempSync(join(tmpdir(), 'vhost-fuzz-'));
  try {
    const share = mutator ? MUTATOR_SHARE : 0;
    const alone = fuzz(program, corpora, limitSeconds * (1 - share));
    const mutated =
      mutator && alone.found === undefined
        ? fuzz(program, [scratch, ...corpora], limitSeconds * share, { VHOST_FUZZ_MUTATOR: '1' })
        : { executions: 0, found: undefined };
    const executions = alone.executions + mutated.executions;
    const total = countExecutions(name, executions);
    const found = alone.found ?? mutated.found;
    console.log(`fuzz: ${name}: ${executions} executions, ${total} in all targets and runs`);
    if (found !== undefined) console.log(`${found}\nfuzz: ${name}: FAILED`);
    return found === undefined;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function merge(builder, { name }) {
  const program = await builder.link(name, programOf(name));
  const kept = corpusOf(name, KEPT);
  const merged = join(root, CACHE, 'merged', name);
  rmSync(merged, { recursive: true, force: true });
  mkdirSync(merged, { recursive: true });
  const sources = [corpusOf(name, join(CACHE, 'corpus')), kept];
  // Without counters: what was reached, not how often, or there would be a thousand for each.
  fuzz(program, ['-merge=1', '-use_counters=0', merged, ...sources], MERGE_SECONDS_MAX);
  rmSync(kept, { recursive: true });
  renameSync(merged, kept);
  console.log(`fuzz: ${name}: ${readdirSync(kept).length} inputs kept`);
  return true;
}

/** A patch begins with the name of the target that must find it. */
async function plant(builder, file) {
  const text = readFileSync(join(root, PLANTS, file), 'utf8');
  const target = /^target: (\S+)$/m.exec(text)?.[1];
  const source = /^\+\+\+ b\/(\S+)/m.exec(text)?.[1];
  if (target === undefined || source === undefined) throw new Error(`${file}: no target or source`);
  const name = basename(file, '.patch');
  const directory = join(CACHE, 'plants', name);
  rmSync(join(root, directory), { recursive: true, force: true });
  mkdirSync(join(root, directory), { recursive: true });
  const broken = join(directory, basename(source));
  copyFileSync(join(root, source), join(root, broken));
  await run('patch', ['--silent', broken, join(PLANTS, file)]);
  const object = `${broken}.o`;
  await run(compiler, [...coreFlags, '-c', broken, '-o', object]);
  const program = await builder.link(target, join(directory, target), new Map([[source, object]]));
  const fresh = corpusOf('found', directory);
  const startedMs = Date.now();
  const { found } = fuzz(program, [fresh, corpusOf(target, KEPT)], PLANT_SECONDS_MAX);
  const how = /(REQUIRE\(.*\)|(?:Address|UndefinedBehavior)Sanitizer: \S+|libFuzzer: \S+)/.exec(
    found ?? '',
  )?.[1];
  const outcome = found === undefined ? 'NOT FOUND' : `${seconds(startedMs)} s`;
  console.log(`| ${name} | ${target} | ${outcome} | ${how ?? ''} |`);
  return found !== undefined;
}

async function main() {
  const { values } = parseArgs({
    options: {
      target: { type: 'string', multiple: true },
      seconds: { type: 'string', default: '30' },
      merge: { type: 'boolean', default: false },
      plants: { type: 'boolean', default: false },
      jobs: { type: 'string', default: String(availableParallelism()) },
    },
  });
  const wanted = TARGETS.filter(({ name }) => values.target?.includes(name) ?? true);
  if (wanted.length === 0) throw new Error(`no such target: ${values.target}`);
  const builder = new Builder(Number(values.jobs));
  await builder.prepare();
  let ok = true;
  if (values.plants) {
    console.log('| plant | target | found after | by |\n| --- | --- | --- | --- |');
    for (const file of readdirSync(join(root, PLANTS)).sort()) {
      if (file.endsWith('.patch')) ok = (await plant(builder, file)) && ok;
    }
    return ok;
  }
  for (const target of wanted) {
    const work = values.merge
      ? merge(builder, target)
      : fuzzTarget(builder, target, Number(values.seconds));
    ok = (await work) && ok;
  }
  return ok;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(`fuzz: ${error.message}`);
  process.exitCode = 1;
}
