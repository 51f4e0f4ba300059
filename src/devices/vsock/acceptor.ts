// Host programs at a listening socket, one after another.

import { constants } from 'node:os';
import { native } from '../../native/index.js';
import type { HostConnections } from './host-end.js';

/** After EMFILE: a descriptor may be free by then. */
const ACCEPT_RETRY_MS = 250;

const { EAGAIN, ECONNABORTED } = constants.errno;

/** Gives every connection to `take`, which owns it then. The listener stays the caller's. */
export function acceptAll(
  listenerFd: number,
  connections: HostConnections,
  take: (fd: number) => void,
): void {
  const accept = () => {
    for (;;) {
      const fd = native.hostAccept(listenerFd);
      if (fd >= 0) {
        take(fd);
      } else if (fd !== -ECONNABORTED) {
        // The listener is watched by edges: without a descriptor nobody would tell us again.
        if (fd !== -EAGAIN) {
          connections.after(ACCEPT_RETRY_MS, accept);
        }
        return;
      }
    }
  };
  connections.watch(listenerFd, accept);
}
