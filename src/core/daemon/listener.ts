// Where front-ends come from: a path we bind, or a descriptor we inherit, listening or connected.

import { lstatSync, unlinkSync } from 'node:fs';
import { native, READABLE, SystemError, type Watcher } from '../../native/index.js';

/** Enough for a few impatient front-ends; one is served at a time. */
const BACKLOG = 16;

/** A socket that can't be had, with the sentence for the user. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly reason: 'in-use' | 'permission' | 'invalid';

  constructor(reason: ListenError['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface Listener {
  /** The next connection, or undefined once closed. */
  accept(): Promise<number | undefined>;
  /** Nobody else can come while a connection lasts: the next is asked for after its end, and a
   *  front-end that is slow to begin keeps nobody out. */
  readonly exclusive?: boolean;
  close(): void;
}

/** Binds `path`. A dead socket in its place is replaced; a live one, a file, a link never. */
export function listenOnPath(path: string): Listener {
  removeDeadSocket(path);
  const fd = native.socketListen(path, BACKLOG);
  if (fd < 0) {
    throw listenError(path, new SystemError('listen', -fd).code);
  }
  return new SocketListener(fd, path);
}

/** An inherited descriptor: virtiofsd and qemu-storage-daemon take a listening one, crosvm and
 *  passt a connected one. The kernel knows which it is. */
export function listenOnFd(fd: number): Listener {
  const listening = native.socketIsListening(fd);
  if (listening < 0) {
    throw new ListenError('invalid', `descriptor ${fd} is no socket`);
  }
  return listening === 1 ? new SocketListener(fd, undefined) : new ConnectedOnce(fd);
}

function removeDeadSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    return;
  }
  if (!found.isSocket()) {
    throw new ListenError('in-use', `${path} exists and is no socket`);
  }
  const fd = native.socketConnect(path);
  if (fd >= 0) {
    native.fdClose(fd);
    throw new ListenError('in-use', `${path} is in use by another process`);
  }
  const { code } = new SystemError('connect', -fd);
  // EAGAIN: somebody listens but is busy. Only ECONNREFUSED says that nobody does.
  if (code !== 'ECONNREFUSED') {
    throw listenError(path, code === 'EAGAIN' ? 'EADDRINUSE' : code);
  }
  unlinkSync(path);
}

function listenError(path: string, code: string): ListenError {
  switch (code) {
    case 'EADDRINUSE':
      return new ListenError('in-use', `${path} is in use by another process`);
    case 'EACCES':
    case 'EPERM':
      return new ListenError('permission', `no permission to create ${path}`);
    case 'ENAMETOOLONG':
      return new ListenError('invalid', `${path} is longer than 107 bytes`);
    case 'ENOENT':
      return new ListenError('invalid', `the directory of ${path} does not exist`);
    default:
      return new ListenError('invalid', `${path}: ${code}`);
  }
}

/** After EMFILE: a descriptor may be free by then, and the backlog stays readable meanwhile. */
const ACCEPT_RETRY_MS = 100;

class SocketListener implements Listener {
  readonly #fd: number;
  readonly #path: string | undefined;
  readonly #inode: bigint | undefined;
  readonly #watcher: Watcher;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(fd: number, path: string | undefined) {
    this.#fd = fd;
    this.#path = path;
    this.#inode = path === undefined ? undefined : inodeOf(path);
    this.#watcher = new native.Watcher(fd, () => this.#wake?.());
  }

  async accept(): Promise<number | undefined> {
    while (!this.#closed) {
      const fd = native.socketAccept(this.#fd);
      if (fd >= 0) {
        return fd;
      }
      const { code } = new SystemError('accept', -fd);
      if (code === 'EAGAIN') {
        await this.#readable();
      } else {
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
    return undefined;
  }

  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#watcher.close();
    native.fdClose(this.#fd);
    // Only our own file: somebody may have put another socket in its place.
    if (this.#path !== undefined && inodeOf(this.#path) === this.#inode) {
      unlinkSync(this.#path);
    }
    this.#wake?.();
  }

  async #readable(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#watcher.watch(READABLE);
    });
    this.#wake = undefined;
    if (!this.#closed) {
      this.#watcher.watch(0);
    }
  }
}

function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })?.ino;
}

/** A connection that is already there: one session, then the end. */
class ConnectedOnce implements Listener {
  readonly exclusive = true;
  #fd: number | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async accept(): Promise<number | undefined> {
    const fd = this.#fd;
    this.#fd = undefined;
    return fd;
  }

  close(): void {
    if (this.#fd !== undefined) {
      native.fdClose(this.#fd);
      this.#fd = undefined;
    }
  }
}
