// Listening sockets that have no file: a TCP address, a port of the host's own AF_VSOCK.

import { native, SystemError } from '../../native/index.js';
import { EndError } from './end-error.js';
import { SOCK_STREAM } from './host-socket.js';

/** Programs that may wait to be accepted: as many as Linux allows by default. */
const BACKLOG = 4096;

/** What a code means here, where the system's own words would puzzle. */
const MEANINGS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process',
  EADDRNOTAVAIL: 'is no address of this host',
  EACCES: 'is not allowed',
  EAFNOSUPPORT: 'can not be had: this kernel has no such sockets',
};

export class AddressListener {
  readonly fd: number;
  #closed = false;

  private constructor(what: string, fd: number) {
    if (fd < 0) {
      const { code } = new SystemError('listen', -fd);
      throw new EndError(code, `${what} ${MEANINGS[code] ?? code}`);
    }
    this.fd = fd;
  }

  static tcp(address: string, port: number): AddressListener {
    return new AddressListener(
      `TCP port ${port} of ${address}`,
      native.hostListenTcp(address, port, BACKLOG),
    );
  }

  /** Streams: a port of AF_VSOCK's is bound for one type of socket only. */
  static vsock(port: number): AddressListener {
    return new AddressListener(
      `AF_VSOCK port ${port}`,
      native.hostListenVsock(port, SOCK_STREAM, BACKLOG),
    );
  }

  close(): void {
    if (!this.#closed) {
      this.#closed = true;
      native.fdClose(this.fd);
    }
  }
}
