// UNIX sockets that host programs connect to. The file goes with the socket.

import { lstatSync, unlinkSync } from 'node:fs';
import { native, SystemError } from '../../native/index.js';
import { EndError } from './end-error.js';
import { SOCK_SEQPACKET, SOCK_STREAM } from './host-socket.js';

/** Programs that may wait to be accepted: as many as Linux allows by default. */
const BACKLOG = 4096;

export class UdsListener {
  readonly path: string;
  readonly fd: number;
  readonly #inode: bigint | undefined;
  #closed = false;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
    this.#inode = inodeOf(path);
  }

  static stream(path: string): UdsListener {
    return new UdsListener(path, listen(path, SOCK_STREAM));
  }

  static seqpacket(path: string): UdsListener {
    return new UdsListener(path, listen(path, SOCK_SEQPACKET));
  }

  /** Takes away our own file only: somebody may have put another in its place. */
  close(): void {
    if (!this.#closed) {
      this.#closed = true;
      native.fdClose(this.fd);
      if (inodeOf(this.path) === this.#inode) {
        unlinkSync(this.path);
      }
    }
  }
}

/** A dead socket in the way is replaced; a live one, a file, a link never. */
function listen(path: string, type: number): number {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined) {
    if (!found.isSocket()) {
      throw new EndError('EEXIST', `${path} exists and is no socket`);
    }
    const fd = native.hostConnect(path, type);
    if (fd >= 0) {
      native.fdClose(fd);
    }
    // Only this answer says that nobody listens.
    if (fd >= 0 || new SystemError('connect', -fd).code !== 'ECONNREFUSED') {
      throw new EndError('EADDRINUSE', `${path} is in use by another process`);
    }
    unlinkSync(path);
  }
  const fd = native.hostListen(path, type, BACKLOG);
  if (fd < 0) {
    const { code } = new SystemError('listen', -fd);
    throw new EndError(code, `${path}: ${code}`);
  }
  return fd;
}

function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })?.ino;
}
