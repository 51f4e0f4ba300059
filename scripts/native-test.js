// Builds native/core with native/test, without Node's headers, once plain and once under
// AddressSanitizer and UndefinedBehaviorSanitizer, and runs both.
//   node scripts/native-test.js [--plain | --asan] [--only TEXT]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiler = process.env.CXX ?? 'g++';
// Optimised a little: the data plane's races show up only when the code is quick.
const compileFlags = ['-std=c++20', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-pthread'];
// A hang is a failure too; the whole run takes a few seconds.
const runTimeoutMs = 120_000;

const variants = [
  { name: 'plain', flags: [] },
  {
    name: 'asan',
    flags: ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'],
  },
];

const environmentFlags = (name) => (process.env[name] ?? '').split(' ').filter(Boolean);

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} failed`);
}

const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : Number.POSITIVE_INFINITY);

/** The files an object was made from, as the compiler wrote them down for make. */
function dependencies(file) {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8').replace(/\\\n/g, ' ');
  return text
    .slice(text.indexOf(':') + 1)
    .split(/\s+/)
    .filter(Boolean);
}

function isFresh(object, dependencyFile) {
  const files = dependencies(dependencyFile);
  if (!existsSync(object) || files.length === 0) return false;
  const made = statSync(object).mtimeMs;
  return files.every((file) => modified(join(root, file)) <= made);
}

function sources() {
  return ['native/core', 'native/test'].flatMap((directory) =>
    readdirSync(join(root, directory))
      .filter((name) => name.endsWith('.cc'))
      .sort()
      .map((name) => join(directory, name)),
  );
}

function build({ name, flags }) {
  const output = join('.cache/native-test', name);
  mkdirSync(join(root, output), { recursive: true });
  const all = [...compileFlags, ...flags, '-Inative/core', ...environmentFlags('CXXFLAGS')];
  let changed = false;
  const objects = sources().map((source) => {
    const object = join(output, source.replaceAll('/', '-').replace(/\.cc$/, '.o'));
    const dependencyFile = `${object}.d`;
    if (!isFresh(join(root, object), join(root, dependencyFile))) {
      run(compiler, [...all, '-MMD', '-MF', dependencyFile, '-c', source, '-o', object]);
      changed = true;
    }
    return object;
  });
  const program = join(output, 'native-test');
  const linked = objects.every(
    (object) => modified(join(root, object)) <= modified(join(root, program)),
  );
  if (changed || !existsSync(join(root, program)) || !linked) {
    const libraries = [...environmentFlags('LDFLAGS'), '-l:liburing.a', '-lpthread'];
    run(compiler, [...all, ...objects, '-o', program, ...libraries]);
  }
  return join(root, program);
}

/** Runs one variant; true when every test passed. */
function test(variant, only) {
  const program = build(variant);
  const started = Date.now();
  const { status, signal, stdout, error } = spawnSync(program, only === undefined ? [] : [only], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: runTimeoutMs,
    killSignal: 'SIGKILL',
  });
  if (error && stdout === null) throw error;
  const ok = status === 0;
  const lines = stdout.trimEnd().split('\n');
  const shown = ok && only === undefined ? lines.filter((line) => !line.startsWith('ok')) : lines;
  const how = signal === null ? `status ${status}` : signal;
  console.log([`# native-test ${variant.name}`, ...shown].join('\n'));
  console.log(`# ${variant.name}: ${how}, ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return ok;
}

const { values } = parseArgs({
  options: {
    plain: { type: 'boolean', default: false },
    asan: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
const both = values.plain === values.asan;
const wanted = variants.filter(({ name }) => both || values[name]);
try {
  const results = wanted.map((variant) => test(variant, values.only));
  process.exitCode = results.every(Boolean) ? 0 : 1;
} catch (error) {
  console.error(`native-test: ${error.message}`);
  process.exitCode = 1;
}
