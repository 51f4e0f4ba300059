// Builds the native module, the TypeScript and the bundle that bin/ starts, each only when its
// sources changed.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Hash of every file below the given places, names included. */
function hashOf(places) {
  const hash = createHash('sha256').update(process.version);
  const add = (path) => {
    hash.update(path).update(readFileSync(join(root, path)));
  };
  for (const place of places) {
    if (place.includes('.')) {
      add(place);
      continue;
    }
    if (!existsSync(join(root, place))) continue;
    const found = readdirSync(join(root, place), { recursive: true, withFileTypes: true });
    for (const entry of found.filter((e) => e.isFile()).sort(byPath)) {
      add(join(entry.parentPath, entry.name).slice(root.length + 1));
    }
  }
  return hash.digest('hex');
}

function byPath(a, b) {
  return join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1;
}

/** Runs `build` unless the stamp says that these sources were built and the result still stands. */
async function step(name, stampFile, places, result, build) {
  const stamp = join(root, stampFile);
  const hash = hashOf(places);
  const fresh =
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === hash &&
    result.every((file) => existsSync(join(root, file)));
  if (fresh) {
    console.log(`build: ${name}: up to date`);
    return;
  }
  const startMs = Date.now();
  await build();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
  console.log(`build: ${name}: ${((Date.now() - startMs) / 1000).toFixed(1)} s`);
}

async function run(file, args) {
  try {
    await promisify(execFile)(process.execPath, [join(root, file), ...args], {
      cwd: root,
      maxBuffer: 1 << 26,
    });
  } catch (error) {
    process.stderr.write(`${error.stdout ?? ''}${error.stderr ?? ''}`);
    console.error(`build: ${file} failed`);
    process.exit(1);
  }
}

const nativeModule = step(
  'native module',
  'build/.stamp',
  ['binding.gyp', 'native/core', 'native/binding'],
  ['build/Release/vhost_ts.node'],
  // Node's own headers where they are installed: a registry-only machine can't download them.
  () => {
    const prefix = join(dirname(process.execPath), '..');
    const headers = [prefix, '/usr', '/usr/local'].find((place) =>
      existsSync(join(place, 'include/node/node_api.h')),
    );
    return run('node_modules/node-gyp/bin/node-gyp.js', [
      existsSync(join(root, 'build/Makefile')) ? 'build' : 'rebuild',
      '--jobs=2',
      ...(headers ? [`--nodedir=${headers}`] : []),
    ]);
  },
);
// Beside the compiler of the native module, whose last file another CPU would wait for.
await step(
  'TypeScript',
  'dist/.stamp',
  ['tsconfig.json', 'package.json', 'src', 'test', 'bench', 'examples', 'scripts'],
  ['dist/src/index.js'],
  () => run('node_modules/typescript/bin/tsc', ['-p', '.']),
);
await step(
  'bundle',
  'dist/bundle/.stamp',
  ['tsconfig.json', 'package.json', 'package-lock.json', 'src', 'scripts/bundle.js'],
  ['dist/bundle/cli-main.js', 'oclif.manifest.json'],
  () => run('scripts/bundle.js', []),
);
await nativeModule;
