// Host programs that connect to a socket of ours are connected to one port of the guest's.

import { acceptAll } from './acceptor.js';
import type { HostConnections, HostEnd } from './host-end.js';

/** A listening socket, the control half's. */
export interface ListenEndOptions {
  readonly fd: number;
  readonly type: number;
  readonly guestPort: number;
}

export class ListenEnd implements HostEnd {
  constructor({ fd, type, guestPort }: ListenEndOptions, connections: HostConnections) {
    acceptAll(fd, connections, (accepted) => {
      // Nothing is said to the program: it is its connection that ends when the guest refuses.
      connections.open({ fd: accepted }, type, guestPort, () => {});
    });
  }

  close(): void {}
}
