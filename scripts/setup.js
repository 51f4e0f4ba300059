#!/usr/bin/env node
// Makes a fresh checkout ready to run, test and demonstrate. Runs before `npm ci`, so it may use
// nothing but Node itself. Every step first asks whether its work is already done.
//
//   node scripts/setup.js [--only packages,kernels,npm,build,fuzz]   fuzz: only when named
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHECKOUT_DIR = dirname(dirname(fileURLToPath(import.meta.url)));
const GUEST_DIR = join(CHECKOUT_DIR, '.cache', 'guest');
const IS_ROOT = process.getuid?.() === 0;

// Another apt or dpkg may run (unattended upgrades on a fresh machine take about a minute).
const LOCK_WAIT_SECONDS = 120;
const LOCK_RETRY_SECONDS = 2;
// Enough to see the cause in the output of a failed tool, little enough to read. apt names the
// cause last, npm names it first and then explains its flags.
const OUTPUT_HEAD_LINES = 12;
const OUTPUT_TAIL_LINES = 20;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;
const NODE_MAJOR_MIN = 20;

/**
 * What the checkout needs from Debian. `program` or `file`: it also counts as present when found
 * there, because compilers and the like are often installed by other means.
 * `need: 'build'` stops the set-up when missing, `need: 'test'` only costs the guest tests;
 * `need: 'fuzz'` is installed for `npm run fuzz` and `npm run coverage` only, being larger than all the rest.
 */
const DEBIAN_PACKAGES = [
  { name: 'g++', need: 'build', program: 'g++' },
  { name: 'make', need: 'build', program: 'make' },
  { name: 'python3', need: 'build', program: 'python3' },
  { name: 'liburing-dev', need: 'build', file: '/usr/include/liburing.h' },
  { name: 'clang-format', need: 'test', program: 'clang-format' },
  { name: 'qemu-system-x86', need: 'test', program: 'qemu-system-x86_64' },
  { name: 'qemu-utils', need: 'test', program: 'qemu-img' },
  { name: 'busybox-static', need: 'test' },
  { name: 'socat', need: 'test', program: 'socat' },
  { name: 'e2fsprogs', need: 'test', program: 'mkfs.ext4' },
  { name: 'ethtool', need: 'test', program: 'ethtool' },
  { name: 'tcpdump', need: 'test', program: 'tcpdump' },
  { name: 'passt', need: 'test', program: 'passt' },
  // A foreign back-end and front-end of network cards. It brings the drivers it loads with it.
  { name: 'dpdk-dev', need: 'test', program: 'dpdk-testpmd' },
  { name: 'clang', need: 'fuzz', program: 'clang++' },
  // The sanitizers' and libFuzzer's own libraries, which clang only recommends.
  { name: 'libclang-rt-14-dev', need: 'fuzz' },
  { name: 'llvm', need: 'fuzz', program: 'llvm-cov' },
  { name: 'patch', need: 'fuzz', program: 'patch' },
];

/** Guest kernels, unpacked and never installed: the machine's own boot files stay untouched. */
const GUEST_KERNELS = [
  {
    dir: 'linux-cloud',
    meta: 'linux-image-cloud-amd64',
    dependency: /^linux-image-\d.*-cloud-amd64$/,
  },
  { dir: 'linux-uml', meta: 'user-mode-linux', dependency: undefined },
];

class SetupError extends Error {}

/** Debian keeps some tools of root's in sbin, which a user's PATH often lacks. */
const SEARCH_PATH = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];

function hasProgram(name) {
  return SEARCH_PATH.some((dir) => dir !== '' && existsSync(join(dir, name)));
}

function excerpt(text) {
  const lines = text.trimEnd().split('\n');
  const left = lines.length - OUTPUT_HEAD_LINES - OUTPUT_TAIL_LINES;
  if (left <= 0) return lines.join('\n');
  const [head, end] = [lines.slice(0, OUTPUT_HEAD_LINES), lines.slice(-OUTPUT_TAIL_LINES)];
  return [...head, `[${left} lines left out]`, ...end].join('\n');
}

function run(program, args, options = {}) {
  const result = spawnSync(program, args, {
    cwd: CHECKOUT_DIR,
    encoding: 'utf8',
    maxBuffer: OUTPUT_MAX_BYTES,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', ...options.env },
  });
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}`;
  const reason = result.error?.message ?? `exit ${result.status ?? result.signal}`;
  return { ok: result.status === 0, stdout: result.stdout ?? '', output, reason };
}

function mustRun(program, args, options) {
  const result = run(program, args, options);
  if (!result.ok) {
    throw new SetupError(
      `"${program} ${args.join(' ')}" failed (${result.reason})\n${excerpt(result.output)}`,
    );
  }
  return result;
}

function sleepSeconds(seconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

/** `DPkg::Lock::Timeout` covers dpkg's lock but not the one on the package lists: wait ourselves. */
function apt(args, options) {
  const deadline = Date.now() + LOCK_WAIT_SECONDS * 1000;
  const full = ['-o', `DPkg::Lock::Timeout=${LOCK_WAIT_SECONDS}`, ...args];
  for (;;) {
    const result = run('apt-get', full, { ...options, env: { LC_ALL: 'C' } });
    const locked = /Could not get lock|Unable to (lock|acquire)/.test(result.output);
    if (result.ok || !locked || Date.now() > deadline) return result;
    sleepSeconds(LOCK_RETRY_SECONDS);
  }
}

function mustApt(args, options) {
  const result = apt(args, options);
  if (!result.ok) {
    throw new SetupError(
      `"apt-get ${args.join(' ')}" failed (${result.reason})\n${excerpt(result.output)}`,
    );
  }
  return result;
}

let listsAreFresh = false;

/** Once a run at most: it costs seconds, and the lists do not age while we work. */
function refreshPackageLists() {
  if (listsAreFresh || !IS_ROOT) return;
  mustApt(['update']);
  listsAreFresh = true;
}

function installedDebianPackages() {
  const { stdout } = run('dpkg-query', ['-W', '-f', '$' + '{Package} $' + '{db:Status-Status}\\n']);
  const rows = stdout.split('\n').map((line) => line.split(' '));
  return new Set(rows.filter(([, status]) => status === 'installed').map(([name]) => name));
}

function missingDebianPackages(needs) {
  const installed = installedDebianPackages();
  return DEBIAN_PACKAGES.filter(
    ({ name, need, program, file }) =>
      needs.includes(need) &&
      !installed.has(name) &&
      !(program !== undefined && hasProgram(program)) &&
      !(file !== undefined && existsSync(file)),
  );
}

function setUpPackages() {
  return installPackages(['build', 'test'], ['build'], 'guest tests will be skipped');
}

function setUpFuzz() {
  return installPackages(['build', 'fuzz'], ['build', 'fuzz'], '');
}

function installPackages(needs, blockingNeeds, without) {
  const missing = missingDebianPackages(needs);
  if (missing.length === 0) return 'all present';
  const names = missing.map(({ name }) => name);
  const line = `apt-get install -y --no-install-recommends ${names.join(' ')}`;
  const blocking = missing
    .filter(({ need }) => blockingNeeds.includes(need))
    .map(({ name }) => name);
  if (!hasProgram('apt-get') || !IS_ROOT) {
    const how = hasProgram('apt-get')
      ? `run as root: ${line}`
      : `install the equivalent of: ${line}`;
    if (blocking.length > 0)
      throw new SetupError(`cannot build without ${blocking.join(', ')}; ${how}`);
    return `${without}; ${how}`;
  }
  say(`packages: installing ${names.join(' ')}`);
  refreshPackageLists();
  mustApt(['install', '-y', '--no-install-recommends', ...names]);
  return `installed ${names.length}`;
}

/** The meta package names the kernel of the day; its dependency is what holds the files. */
function kernelPackageName({ meta, dependency }) {
  const resolve = () => {
    const { ok, stdout } = run('apt-cache', ['show', '--no-all-versions', meta]);
    if (!ok) return undefined;
    if (dependency === undefined) return meta;
    const depends = /^Depends: (.*)$/m.exec(stdout)?.[1] ?? '';
    return depends
      .split(',')
      .map((item) => item.trim().split(' ')[0])
      .find((name) => dependency.test(name));
  };
  const name = resolve();
  if (name !== undefined || listsAreFresh || !IS_ROOT) return name;
  refreshPackageLists();
  return resolve();
}

/** apt drops to the user _apt for downloads and warns when that user cannot write: let it. */
function downloadDirectory() {
  const dir = mkdtempSync(join(tmpdir(), 'vhost-ts-setup-'));
  const uid = Number(run('id', ['-u', '_apt']).stdout.trim());
  if (IS_ROOT && uid > 0) chownSync(dir, uid, 0);
  return dir;
}

function unpackKernel(kernel) {
  const target = join(GUEST_DIR, kernel.dir);
  if (existsSync(target)) return false;
  const name = kernelPackageName(kernel);
  if (name === undefined) throw new SetupError(`apt knows no package ${kernel.meta}`);
  say(`kernels: fetching ${name}`);
  const downloads = downloadDirectory();
  const partial = `${target}.partial`;
  try {
    let result = apt(['download', '-q', name], { cwd: downloads });
    if (!result.ok && !listsAreFresh && IS_ROOT) {
      // Lists older than the archive name files that are gone.
      refreshPackageLists();
      result = mustApt(['download', '-q', kernelPackageName(kernel)], { cwd: downloads });
    }
    const deb = readdirSync(downloads).find((file) => file.endsWith('.deb'));
    if (deb === undefined)
      throw new SetupError(`no download of ${name}\n${excerpt(result.output)}`);
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(GUEST_DIR, { recursive: true });
    mustRun('dpkg-deb', ['-x', join(downloads, deb), partial]);
    // The rename comes last, so that a directory of the final name is always complete.
    renameSync(partial, target);
    return true;
  } finally {
    rmSync(downloads, { recursive: true, force: true });
  }
}

function setUpKernels() {
  if (process.arch !== 'x64') return `none for ${process.arch}: guest tests will be skipped`;
  if (!hasProgram('apt-get') || !hasProgram('dpkg-deb')) {
    return 'not a Debian machine: guest tests will be skipped';
  }
  const failures = [];
  let fetched = 0;
  for (const kernel of GUEST_KERNELS) {
    try {
      if (unpackKernel(kernel)) fetched += 1;
    } catch (error) {
      if (!(error instanceof SetupError) || IS_ROOT) throw error;
      failures.push(`${kernel.meta} (run as root: apt-get update)`);
    }
  }
  if (failures.length > 0)
    return `guest tests will be skipped, could not get ${failures.join(', ')}`;
  return fetched === 0 ? 'all present' : `unpacked ${fetched}`;
}

function npmIsUpToDate(modulesDir, lockFile, stampFile, lockHash) {
  if (!existsSync(modulesDir)) return false;
  if (existsSync(stampFile)) return readFileSync(stampFile, 'utf8').trim() === lockHash;
  // No stamp: somebody ran npm by hand. npm leaves its own copy of the lock file behind.
  const installedLock = join(modulesDir, '.package-lock.json');
  if (!existsSync(installedLock)) return false;
  return statSync(installedLock).mtimeMs >= statSync(lockFile).mtimeMs;
}

function setUpNpm() {
  const modulesDir = join(CHECKOUT_DIR, 'node_modules');
  const lockFile = join(CHECKOUT_DIR, 'package-lock.json');
  const stampFile = join(modulesDir, '.vhost-ts-setup');
  if (lstatSync(modulesDir, { throwIfNoEntry: false })?.isSymbolicLink()) {
    return 'node_modules is a link to somebody else’s install: left alone';
  }
  const lockHash = createHash('sha256').update(readFileSync(lockFile)).digest('hex');
  const upToDate = npmIsUpToDate(modulesDir, lockFile, stampFile, lockHash);
  if (!upToDate) {
    say('npm: npm ci');
    mustRun('npm', ['ci', '--include=dev', '--no-audit', '--no-fund']);
  }
  writeFileSync(stampFile, `${lockHash}\n`);
  return upToDate ? 'up to date' : 'installed';
}

function setUpBuild() {
  const script = join(CHECKOUT_DIR, 'scripts', 'build.js');
  if (!existsSync(script)) return 'no scripts/build.js: nothing to build';
  const result = spawnSync(process.execPath, [script], { cwd: CHECKOUT_DIR, stdio: 'inherit' });
  if (result.status !== 0) {
    throw new SetupError(
      `scripts/build.js failed (${result.error?.message ?? `exit ${result.status ?? result.signal}`})`,
    );
  }
  return 'done';
}

const STEPS = {
  packages: setUpPackages,
  kernels: setUpKernels,
  npm: setUpNpm,
  build: setUpBuild,
  fuzz: setUpFuzz,
};

function say(text) {
  process.stdout.write(`setup: ${text}\n`);
}

function chosenSteps(args) {
  if (args.length === 0) return Object.keys(STEPS).filter((name) => name !== 'fuzz');
  const names = args[0] === '--only' && args.length === 2 ? args[1].split(',') : [];
  if (names.length === 0 || names.some((name) => !(name in STEPS))) {
    throw new SetupError(`usage: setup.js [--only ${Object.keys(STEPS).join(',')}]`);
  }
  return names;
}

/** The kernels come over the network while npm does other things: a process of their own. */
function startKernels() {
  const args = [fileURLToPath(import.meta.url), '--only', 'kernels'];
  const child = spawn(process.execPath, args, { cwd: CHECKOUT_DIR, stdio: 'inherit' });
  return new Promise((resolve) => {
    child.once('error', () => resolve(1));
    child.once('close', (status) => resolve(status ?? 1));
  });
}

async function main() {
  let step = 'arguments';
  let kernels = Promise.resolve(0);
  try {
    if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
      throw new SetupError(`Node ${NODE_MAJOR_MIN} or newer is needed, this is ${process.version}`);
    }
    const steps = chosenSteps(process.argv.slice(2));
    for (step of steps) {
      if (step === 'kernels' && steps.length > 1) {
        kernels = startKernels();
        continue;
      }
      const startedMs = performance.now();
      const outcome = STEPS[step]();
      say(`${step}: ${outcome} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`);
    }
  } catch (error) {
    const text = error instanceof SetupError ? error.message : (error?.stack ?? String(error));
    process.stderr.write(`setup: ${step}: FAILED: ${text}\n`);
    process.exitCode = 1;
  }
  if ((await kernels) !== 0) process.exitCode = 1;
}

await main();
