// The guest's whole userland in one archive: busybox, the file system tools with their shared
// libraries, the kernel modules and the guest script.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';

import { CpioArchive } from './cpio.js';
import { modulesInLoadOrder } from './kernel-modules.js';
import type { GuestKernel } from './kernels.js';
import { checkoutDir, findProgram, guestCacheDir } from './kernels.js';

/** busybox has no mkfs.ext4, no e2fsck, and its blkdiscard cannot write zeroes. */
const HOST_PROGRAMS = ['mkfs.ext4', 'e2fsck', 'blkdiscard'];
/** Beside this file, each of one file of C. */
const OWN_PROGRAMS = ['vsock-peer', 'tcp-bulk'];

function output(program: string, args: readonly string[]): string {
  const result = spawnSync(program, args, { encoding: 'utf8' });
  if (result.status !== 0) {
    throw new Error(`${program} ${args.join(' ')}: ${result.error?.message ?? result.stderr}`);
  }
  return result.stdout;
}

function requiredProgram(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`no ${name}: run "npm run setup"`);
  return path;
}

/** Shared libraries and the loader, as ldd(1) prints them: "name => path (addr)" or "path (addr)". */
function sharedLibraries(programPath: string): string[] {
  return output('ldd', [programPath])
    .split('\n')
    .map((line) => /(\/\S+) \(0x/.exec(line)?.[1])
    .filter((path) => path !== undefined);
}

function addPrograms(archive: CpioArchive, more: readonly string[]): void {
  const busybox = requiredProgram('busybox');
  archive.file('bin/busybox', readFileSync(busybox));
  const applets = output(busybox, ['--list']).split('\n');
  for (const applet of applets) {
    if (applet === '' || applet === 'busybox' || HOST_PROGRAMS.includes(applet)) continue;
    archive.link(`bin/${applet}`, 'busybox');
  }
  for (const path of more.filter(isAbsolute)) {
    archive.file(`bin/${basename(path)}`, readFileSync(path));
  }
  const names = [...HOST_PROGRAMS, ...more.filter((name) => !isAbsolute(name))];
  const programs = names.map(requiredProgram);
  for (const path of programs) archive.file(`bin/${basename(path)}`, readFileSync(path));
  for (const path of new Set(programs.flatMap(sharedLibraries))) {
    archive.file(path, readFileSync(path));
  }
}

const hashOf = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 16);

/** A file of the cache, made when there is none. Whole or not there at all, whoever else makes it. */
function cached(name: string, make: (partial: string) => void): string {
  const path = join(guestCacheDir(), name);
  if (!existsSync(path)) {
    mkdirSync(guestCacheDir(), { recursive: true });
    const partial = `${path}.${process.pid}`;
    make(partial);
    renameSync(partial, path);
  }
  return path;
}

/** Compiled here, with the compiler the addon needs anyway. */
function addOwnProgram(archive: CpioArchive, name: string): void {
  const source = join(checkoutDir(), 'test', 'guest', `${name}.c`);
  const program = cached(`${name}-${hashOf(readFileSync(source))}`, (partial) => {
    output(process.env.CC ?? 'gcc', ['-O2', '-static', '-o', partial, source]);
  });
  archive.file(`bin/${name}`, readFileSync(program));
}

function addModules(archive: CpioArchive, kernel: GuestKernel): void {
  const modules = modulesInLoadOrder(kernel);
  for (const path of modules) archive.file(`modules/${basename(path)}`, readFileSync(path));
  const order = modules.map((path) => `${basename(path)}\n`).join('');
  archive.file('modules/order', Buffer.from(order), 0o644);
}

/**
 * Returns the path of the archive, built anew only when one of its parts has changed. It is not
 * compressed: unpacking gzip under TCG takes longer than handing over the bytes. `programs`: more of
 * the host's by name, with their libraries, and static ones by path.
 */
export function buildInitramfs(kernel: GuestKernel, programs: readonly string[] = []): string {
  const archive = new CpioArchive();
  const ours = (name: string) => readFileSync(join(checkoutDir(), 'test', 'guest', name));
  for (const dir of ['dev', 'etc', 'mnt', 'proc', 'sys', 'tmp']) archive.directory(dir);
  // The kernel opens the console for PID 1 before anything could mount /dev.
  archive.characterDevice('dev/console', 5, 1).file('init', ours('guest-script.sh'));
  archive.file('vsock-stage.sh', ours('vsock-stage.sh'));
  archive.file('net-stages.sh', ours('net-stages.sh'));
  addPrograms(archive, programs);
  for (const name of OWN_PROGRAMS) addOwnProgram(archive, name);
  addModules(archive, kernel);
  const bytes = archive.finish();
  return cached(`initramfs-${hashOf(bytes)}.cpio`, (partial) => writeFileSync(partial, bytes));
}
