// The image behind a disk: a raw file or a block device, opened, locked, measured. Formats are
// never probed: a guest could write a qcow2 header into its disk and have the next start open any
// file of the host (CVE-2026-27211, BK-031).

import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { fdKind, native } from '../../native/index.js';

export type ImageErrorReason = 'unusable' | 'permission' | 'locked' | 'option';

/** An image that can't be used, with the sentence for the user. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
  readonly reason: ImageErrorReason;

  constructor(reason: ImageErrorReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface ImageOptions {
  readonly path: string;
  readonly readOnly: boolean;
  /** Bypass the page cache (O_DIRECT). */
  readonly direct: boolean;
  /** Make the file with this many bytes if it does not exist. */
  readonly createBytes?: number | undefined;
  /** `open`: locked as long as it is open. `running`: from acquire() to release(), so that the two
   *  daemons of a live migration can have it open at once. */
  readonly lock?: 'open' | 'running';
}

// QEMU's image locks are single bytes: "I read" at 100, "I write" at 101, and 100 further on what a
// holder does not share. We speak the part that keeps two writers, or a writer and a reader, apart.
const QEMU_READS = 100;
const QEMU_WRITES = 101;
const QEMU_SHARES_NO_WRITE = 201;

export class Image {
  readonly path: string;
  readonly readOnly: boolean;
  readonly fd: number;
  /** 0 for the page cache, else what O_DIRECT asks of offsets, lengths and addresses. */
  readonly directAlign: number;
  readonly physicalBlockBytes: number;
  readonly #lock: ImageOptions['lock'];

  private constructor(options: ImageOptions, fd: number) {
    this.path = options.path;
    this.readOnly = options.readOnly;
    this.#lock = options.lock;
    this.fd = fd;
    this.directAlign = options.direct ? native.fileDirectAlignment(fd) : 0;
    const device = native.blockDevice(fd);
    this.physicalBlockBytes = device.bytes >= 0 ? device.logicalBlockBytes : 4096;
  }

  static open(options: ImageOptions): Image {
    if (options.createBytes !== undefined) {
      create(options.path, options.createBytes);
    }
    const fd = openFile(options);
    try {
      const kind = fdKind(fd);
      if (kind !== 'regular' && kind !== 'block device') {
        throw new ImageError('unusable', `${options.path} is no file and no block device`);
      }
      if (options.lock !== 'running') {
        lock(fd, options);
      }
      return new Image(options, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Bytes the image holds now; a grown file answers the new size. */
  sizeBytes(): number {
    const device = native.blockDevice(this.fd);
    return device.bytes >= 0 ? device.bytes : fstatSync(this.fd).size;
  }

  /** Makes a size that was just seen durable before a guest is told of it. */
  syncSize(): void {
    if (!this.readOnly) {
      fsyncSync(this.fd);
    }
  }

  /** A guest begins to use the image. Throws ImageError when another process has it. */
  acquire(): void {
    if (this.#lock === 'running') {
      lock(this.fd, this);
    }
  }

  /** No guest uses it any more. Durable first: whoever locks it next may run on another host, and
   *  can't write back what this one has in its page cache. Throws what the system says. */
  async release(): Promise<void> {
    if (this.#lock === 'running') {
      if (!this.readOnly) {
        await syncData(this.fd);
      }
      native.fileUnlock(this.fd, 0, 0);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Not the synchronous form: a slow disk would hold up every message. */
function syncData(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}

function openFile({ path, readOnly, direct }: ImageOptions): number {
  const access = readOnly ? constants.O_RDONLY : constants.O_RDWR;
  // Non-blocking: a FIFO without a writer would hold the start for ever.
  const flags = access | constants.O_NONBLOCK | (direct ? constants.O_DIRECT : 0);
  try {
    return openSync(path, flags);
  } catch (error) {
    throw openError(path, readOnly, direct, (error as NodeJS.ErrnoException).code ?? '');
  }
}

function openError(path: string, readOnly: boolean, direct: boolean, code: string): ImageError {
  switch (code) {
    case 'ENOENT':
      return new ImageError('unusable', `image ${path} does not exist (--create SIZE makes it)`);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS': {
      const hint = readOnly ? '' : ' (--read-only opens it without writing)';
      return new ImageError('permission', `no permission to open ${path}${hint}`);
    }
    case 'EISDIR':
      return new ImageError('unusable', `${path} is a directory`);
    case 'EINVAL':
      if (direct) {
        return new ImageError('unusable', `${path} is on a file system without O_DIRECT`);
      }
  }
  return new ImageError('unusable', `can't open ${path}: ${code}`);
}

/** Durable in three steps: the file's size, the file, its name. */
function create(path: string, bytes: number): void {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o644);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      return; // --create is for the first start; later ones use what is there
    }
    throw openError(path, false, false, code ?? '');
  }
  try {
    ftruncateSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  fsyncSync(directory);
  closeSync(directory);
}

/** Locks of the open file description: they go with the process, and don't mind that the workers
 *  open the image again. */
function lock(fd: number, { path, readOnly }: Pick<ImageOptions, 'path' | 'readOnly'>): void {
  const taken = readOnly
    ? native.fileLock(fd, false, QEMU_READS, 1) === 0 &&
      native.fileLock(fd, false, QEMU_SHARES_NO_WRITE, 1) === 0 &&
      native.fileProbeLock(fd, true, QEMU_WRITES, 1) === 0
    : native.fileLock(fd, true, 0, 0) === 0;
  if (!taken) {
    throw new ImageError('locked', `image ${path} is in use by another process`);
  }
}
