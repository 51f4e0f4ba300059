// Compiles C++ files of this tree into objects: only those older than what they were made from, a
// few at a time, and with the standard library's headers read once for all of them.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

export const environmentFlags = (name) => (process.env[name] ?? '').split(' ').filter(Boolean);

/** Headers that most files include. Reading them anew is half of the time a test takes to compile. */
const PRELUDE = 'native/test/prelude.h';
/** The same for tests. */
export const TEST_PRELUDE = 'native/test/test-prelude.h';

/** Paths of the C++ files in a directory of the tree. */
export function sourcesIn(directory) {
  return readdirSync(join(root, directory))
    .filter((name) => name.endsWith('.cc'))
    .sort()
    .map((name) => join(directory, name));
}

/** Runs a program of the tree's tool chain; what it says is shown only when it fails. */
export function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
    }
    child.once('error', reject);
    child.once('close', (status) => {
      if (status === 0) return resolve();
      process.stderr.write(said);
      reject(new Error(`${command} ${args.at(-1)}: failed`));
    });
  });
}

const modifiedMs = (path) => (existsSync(path) ? statSync(path).mtimeMs : Number.POSITIVE_INFINITY);

/** The files an object was made from, as the compiler wrote them down for make. */
function dependencies(file) {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8').replace(/\\\n/g, ' ');
  return text
    .slice(text.indexOf(':') + 1)
    .split(/\s+/)
    .filter(Boolean);
}

/** True when `made` is there and nothing it was made from is younger. */
export function isFresh(made, from) {
  if (!existsSync(join(root, made)) || from.length === 0) return false;
  const madeMs = modifiedMs(join(root, made));
  return from.every((file) => modifiedMs(join(root, file)) <= madeMs);
}

/** Objects made with other flags are no good, whatever their age. */
function clearIfFlagsChanged(directory, command) {
  const stamp = join(root, directory, 'command.txt');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === command) return;
  rmSync(join(root, directory), { recursive: true, force: true });
  mkdirSync(join(root, directory), { recursive: true });
  writeFileSync(stamp, command);
}

async function compileIfOld(compiler, flags, source, object) {
  const dependencyFile = `${object}.d`;
  if (isFresh(object, dependencies(join(root, dependencyFile)))) return;
  await run(compiler, [...flags, '-MMD', '-MF', dependencyFile, '-o', object, source]);
}

/**
 * The objects the addon was linked from, when none of their sources is younger: what is tested then
 * is what is shipped, and costs nothing. Else undefined.
 */
export function addonObjects(sources) {
  const release = 'build/Release';
  const inTarget = sources.map((source) => `obj.target/vhost_ts/${source.replace(/\.cc$/, '.o')}`);
  const objects = inTarget.map((name) => join(release, name));
  const fresh = inTarget.every((name, i) => {
    const written = dependencies(join(root, release, '.deps/Release', `${name}.d`));
    // node-gyp's rules run in build/, and have their command in front.
    const from = written.flatMap((word) => /^\.\.\/(native\/[^:]+)$/.exec(word)?.[1] ?? []);
    return isFresh(objects[i], from);
  });
  return fresh ? objects : undefined;
}

/** Objects of the sources in `directory`, which holds nothing else. */
export async function buildObjects({
  compiler,
  flags,
  directory,
  sources,
  jobs,
  prelude = PRELUDE,
}) {
  clearIfFlagsChanged(directory, [compiler, ...flags].join(' '));
  const included = join(directory, basename(prelude));
  await compileIfOld(compiler, [...flags, '-x', 'c++-header'], prelude, `${included}.gch`);
  const all = [...flags, '-include', included, '-c'];
  const objects = sources.map((source) =>
    join(directory, source.replaceAll('/', '-').replace(/\.cc$/, '.o')),
  );
  const waiting = sources.map((source, i) => [source, objects[i]]);
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await compileIfOld(compiler, all, next[0], next[1]);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return objects;
}

/** Links objects unless the program is younger than all of them. */
export async function link({ compiler, flags, objects, program }) {
  if (isFresh(program, objects)) return;
  const libraries = [...environmentFlags('LDFLAGS'), '-l:liburing.a', '-lpthread'];
  await run(compiler, [...flags, ...objects, ...libraries, '-o', program]);
}
