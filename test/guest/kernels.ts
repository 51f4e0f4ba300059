// Where the set-up script put the guest kernels, and what a guest test needs besides.
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface GuestKernel {
  /** The file to boot: a bzImage for QEMU, the program itself for User-mode Linux. */
  readonly imagePath: string;
  readonly modulesDir: string;
  /** Modules to load, in the order their dependencies leave free. Built-in ones are passed over. */
  readonly moduleNames: readonly string[];
}

/** The nearest directory above this file with a package.json: compiled files lie in dist/. */
export function checkoutDir(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) {
    const parent = dirname(dir);
    if (parent === dir) throw new Error('no package.json above the guest test files');
    dir = parent;
  }
  return dir;
}

export function guestCacheDir(): string {
  return join(checkoutDir(), '.cache', 'guest');
}

function onlyEntry(dir: string): string | undefined {
  return existsSync(dir) ? readdirSync(dir).sort().at(-1) : undefined;
}

export function findQemuKernel(): GuestKernel | undefined {
  const root = join(guestCacheDir(), 'linux-cloud');
  const release = onlyEntry(join(root, 'lib', 'modules'));
  if (release === undefined) return undefined;
  return {
    imagePath: join(root, 'boot', `vmlinuz-${release}`),
    modulesDir: join(root, 'lib', 'modules', release),
    moduleNames: [
      'crc32c_generic',
      'virtio_pci',
      'virtio_blk',
      'virtio_rng',
      'virtio_net',
      '8021q',
      '8021q',
      'vmw_vsock_virtio_transport',
      'ext4',
    ],
  };
}

export function findUmlKernel(): GuestKernel | undefined {
  const root = join(guestCacheDir(), 'linux-uml', 'usr');
  const release = onlyEntry(join(root, 'lib', 'uml', 'modules'));
  if (release === undefined) return undefined;
  return {
    imagePath: join(root, 'bin', 'linux.uml'),
    modulesDir: join(root, 'lib', 'uml', 'modules', release),
    moduleNames: [
      'crc32c_generic',
      'virtio_uml',
      'virtio_blk',
      'virtio_net',
      '8021q',
      '8021q',
      'vmw_vsock_virtio_transport',
      'ext4',
    ],
  };
}

/** Debian keeps some tools of root's in sbin, which a user's PATH often lacks. */
export function findProgram(name: string): string | undefined {
  const dirs = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return dirs.map((dir) => join(dir, name)).find((path) => existsSync(path));
}

const GUEST_PROGRAMS = ['busybox', 'mkfs.ext4', 'e2fsck', 'blkdiscard'];
const SET_UP = 'run "npm run setup"';

function missingPrograms(names: readonly string[]): string | undefined {
  const missing = names.filter((name) => findProgram(name) === undefined);
  return missing.length === 0 ? undefined : `no ${missing.join(', ')}: ${SET_UP}`;
}

/** Why no QEMU guest can run here; undefined when one can. `programs`: what this one needs besides. */
export function whyNoQemuGuest(programs: readonly string[] = []): string | undefined {
  if (process.arch !== 'x64') return `no guest kernel for ${process.arch}`;
  if (findQemuKernel() === undefined) return `no guest kernel: ${SET_UP}`;
  return missingPrograms(['qemu-system-x86_64', ...GUEST_PROGRAMS, ...programs]);
}

/** Why no User-mode Linux guest can run here; undefined when one can. */
export function whyNoUmlGuest(programs: readonly string[] = []): string | undefined {
  if (process.arch !== 'x64') return `no guest kernel for ${process.arch}`;
  if (findUmlKernel() === undefined) return `no User-mode Linux: ${SET_UP}`;
  return missingPrograms([...GUEST_PROGRAMS, ...programs]);
}
