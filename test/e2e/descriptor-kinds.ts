// Descriptors of every kind, for messages that want another one.

import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { check, native } from '../../src/native/index.js';
import { socketPair } from '../../src/testing/index.js';
import { makeFile } from './support.js';

/** Linux' O_PATH, which Node does not name. */
const O_PATH = 0o10000000;

export type Kind =
  | 'regular file'
  | 'empty file'
  | 'read-only file'
  | 'write-only file'
  | 'directory'
  | 'pipe'
  | 'socket'
  | 'epoll'
  | 'eventfd'
  | 'O_PATH file'
  | 'O_PATH socket'
  | '/dev/null';

/** One descriptor of each kind, all closed together. */
export class DescriptorKinds {
  readonly fds: ReadonlyMap<Kind, number>;
  readonly #others: number[] = [];

  private constructor(fds: ReadonlyMap<Kind, number>, others: readonly number[]) {
    this.fds = fds;
    this.#others.push(...others);
  }

  static async open(directory: string, fileBytes: number): Promise<DescriptorKinds> {
    const file = join(directory, 'kinds.bin');
    const empty = join(directory, 'empty.bin');
    const pipe = join(directory, 'kinds.pipe');
    const socket = join(directory, 'kinds.sock');
    makeFile(file, fileBytes);
    makeFile(empty, 0);
    spawnSync('mkfifo', [pipe]);
    const server = createServer().listen(socket);
    await new Promise((resolve) => server.once('listening', resolve));
    const [near, far] = socketPair();
    const fds = new Map<Kind, number>([
      ['regular file', openSync(file, 'r+')],
      ['empty file', openSync(empty, 'r+')],
      ['read-only file', openSync(file, 'r')],
      ['write-only file', openSync(file, constants.O_WRONLY)],
      ['directory', openSync(directory, 'r')],
      ['pipe', openSync(pipe, constants.O_RDWR)],
      ['socket', near],
      ['eventfd', check('eventfd', native.eventfdCreate(0))],
      ['O_PATH file', openSync(file, O_PATH)],
      ['O_PATH socket', openSync(socket, O_PATH)],
      ['/dev/null', openSync('/dev/null', 'r+')],
    ]);
    server.close();
    const epoll = ownEpoll();
    if (epoll !== undefined) {
      fds.set('epoll', epoll);
    }
    return new DescriptorKinds(fds, [far]);
  }

  of(kind: Kind): number {
    const fd = this.fds.get(kind);
    if (fd === undefined) {
      throw new RangeError(`no ${kind}`);
    }
    return fd;
  }

  close(): void {
    for (const [kind, fd] of this.fds) {
      if (kind !== 'epoll') {
        closeSync(fd);
      }
    }
    this.#others.forEach(closeSync);
  }
}

/** Node makes no epoll descriptor for us, but its event loop has one. */
function ownEpoll(): number | undefined {
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`) === 'anon_inode:[eventpoll]') {
        return Number(name);
      }
    } catch {
      // The descriptor of this very directory listing is gone by now.
    }
  }
  return undefined;
}
