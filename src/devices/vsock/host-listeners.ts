// The sockets host programs connect to, opened before there is a guest: whoever can't have them
// learns it at start-up.

import { AddressListener } from './address-listener.js';
import { TYPE_STREAM } from './format.js';
import type { ListenEndOptions } from './listen-end.js';
import type { ListenAddress, VsockOptions } from './options.js';
import type { UdsEndOptions } from './uds-end.js';
import { UdsListener } from './uds-listener.js';

type Wanted = Pick<VsockOptions, 'udsPath' | 'listens' | 'parentPorts'>;

interface Listening {
  readonly fd: number;
  close(): void;
}

export class HostListeners {
  readonly uds: UdsEndOptions | undefined;
  readonly ends: readonly ListenEndOptions[];
  readonly #open: Listening[] = [];

  /** All or none. Throws EndError. */
  constructor({ udsPath, listens, parentPorts }: Wanted) {
    try {
      this.uds = udsPath === undefined ? undefined : this.#hybrid(udsPath);
      this.ends = [
        ...listens.map(({ at, guestPort }) => {
          const { fd } = this.#keep(listen(at));
          return { fd, type: TYPE_STREAM, guestPort };
        }),
        ...parentPorts.map((guestPort) => {
          const { fd } = this.#keep(AddressListener.vsock(guestPort));
          return { fd, type: TYPE_STREAM, guestPort };
        }),
      ];
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    for (const listener of this.#open.splice(0)) {
      listener.close();
    }
  }

  #hybrid(path: string): UdsEndOptions {
    const { fd: streamFd } = this.#keep(UdsListener.stream(path));
    const { fd: seqpacketFd } = this.#keep(UdsListener.seqpacket(`${path}_seqpacket`));
    return { path, streamFd, seqpacketFd };
  }

  #keep<T extends Listening>(listener: T): T {
    this.#open.push(listener);
    return listener;
  }
}

function listen(at: ListenAddress): Listening {
  return at.kind === 'unix' ? UdsListener.stream(at.path) : AddressListener.tcp(at.host, at.port);
}
