// The same guest under User-mode Linux: a second real driver, with habits of its own.
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';

import { spawnTracked } from './children.js';
import type { Machine } from './console.js';
import { GuestConsole } from './console.js';
import { buildInitramfs } from './initramfs.js';
import { findUmlKernel } from './kernels.js';
import { kernelCommandLine } from './qemu.js';

const MEMORY_MIB = 192;
/** VIRTIO 1.3 §5. */
export const VIRTIO_ID_NET = 1;
const VIRTIO_ID_BLOCK = 2;
export const VIRTIO_ID_VSOCK = 19;
const SHARED_MEMORY_DIR = '/dev/shm';

export interface UmlOptions {
  readonly socketPath: string;
  readonly parameters: Readonly<Record<string, string | number>>;
  /** What the socket's device is; a disk, unless said otherwise. */
  readonly virtioId?: number;
  /** A second device, such as a card. */
  readonly second?: { readonly socketPath: string; readonly virtioId: number };
  /** More of the host's programs in the guest. */
  readonly programs?: readonly string[];
}

export function startUml({
  socketPath,
  parameters,
  virtioId = VIRTIO_ID_BLOCK,
  second,
  programs = [],
}: UmlOptions): Machine {
  const kernel = findUmlKernel();
  if (kernel === undefined) throw new Error('no User-mode Linux: run "npm run setup"');
  const devices = [{ socketPath, virtioId }, ...(second === undefined ? [] : [second])];
  const child = spawnTracked(
    kernel.imagePath,
    [
      ...[`mem=${MEMORY_MIB}M`, `initrd=${buildInitramfs(kernel, programs)}`],
      ...['con=null', 'con0=fd:0,fd:1'],
      ...devices.map((device) => `virtio_uml.device=${device.socketPath}:${device.virtioId}`),
      'loglevel=4',
      ...kernelCommandLine(parameters).split(' '),
    ],
    {
      // An open pipe for input: at end of file the console would be closed.
      stdio: ['pipe', 'pipe', 'pipe'],
      // Guest memory is a deleted file in TMPDIR.
      env: {
        ...process.env,
        TMPDIR: existsSync(SHARED_MEMORY_DIR) ? SHARED_MEMORY_DIR : tmpdir(),
      },
    },
  );
  const console = new GuestConsole([child.process.stdout, child.process.stderr]);
  return { console, child, title: 'User-mode Linux' };
}
