// UNIX sockets of the host's end: bound to a path that is ours to remove.

import { lstatSync, unlinkSync } from 'node:fs';
import { errnoName, native } from '../../native/index.js';
import { HostEndError } from './host-end-error.js';

/** One peer at a time is served. */
const BACKLOG = 4;

export interface BoundSocket {
  readonly fd: number;
  close(): void;
}

export function listenStream(path: string): BoundSocket {
  return bound(path, () => native.socketListen(path, BACKLOG), native.socketConnect);
}

export function bindDatagram(path: string): BoundSocket {
  return bound(path, () => native.datagramBind(path), reachDatagram);
}

/** Whether somebody receives there: 0 or a descriptor, or -errno. */
function reachDatagram(path: string): number {
  const fd = native.datagramBind('');
  const result = fd < 0 ? fd : native.datagramConnect(fd, path);
  if (fd >= 0) {
    native.fdClose(fd);
  }
  return result;
}

/** A socket nobody listens on any more is replaced; whatever else is there stays. */
function bound(path: string, open: () => number, reach: (path: string) => number): BoundSocket {
  let fd = open();
  if (errnoName(-fd) === 'EADDRINUSE' && lstatSync(path).isSocket()) {
    const peer = reach(path);
    if (errnoName(-peer) === 'ECONNREFUSED') {
      unlinkSync(path);
      fd = open();
    } else if (peer > 0) {
      native.fdClose(peer);
    }
  }
  if (fd < 0) {
    throw socketError(path, -fd);
  }
  const { ino } = lstatSync(path);
  const close = () => {
    native.fdClose(fd);
    // Only our own: somebody may have put another in its place.
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) {
      unlinkSync(path);
    }
  };
  return { fd, close };
}

function socketError(path: string, errno: number): HostEndError {
  const name = errnoName(errno);
  switch (name) {
    case 'EADDRINUSE':
      return new HostEndError('unusable', `${path} is in use`);
    case 'EACCES':
    case 'EPERM':
      return new HostEndError('permission', `no permission to create ${path}`);
    case 'ENAMETOOLONG':
      return new HostEndError('option', `${path} is longer than 107 bytes`);
    default:
      return new HostEndError('unusable', `${path} can't be made (${name})`);
  }
}
