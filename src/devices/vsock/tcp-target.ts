// The guest's connections to a TCP port. A name is looked up by the control half, again and again;
// the worker only ever has addresses.

import { native } from '../../native/index.js';
import { dial } from './dial.js';
import { TYPE_STREAM } from './format.js';
import type { Answer, Cancel, GuestRequest, HostConnections, HostTarget } from './host-end.js';

/** An address in figures, not a name. */
export function isAddress(host: string): boolean {
  return host.includes(':') || /^[\d.]+$/.test(host);
}

export class TcpTarget implements HostTarget {
  readonly host: string;
  readonly #port: number;
  readonly #connections: HostConnections;
  /** None: its name has not been found yet, and the guest is refused. */
  #addresses: readonly string[];

  constructor(host: string, port: number, connections: HostConnections) {
    this.host = host;
    this.#port = port;
    this.#connections = connections;
    this.#addresses = isAddress(host) ? [host] : [];
  }

  set addresses(addresses: readonly string[]) {
    this.#addresses = addresses;
  }

  connect({ type }: GuestRequest, answer: Answer): Cancel | undefined {
    if (type !== TYPE_STREAM) {
      // TCP keeps no messages apart.
      answer(undefined);
      return undefined;
    }
    const attempts = this.#addresses.map((address) => () => {
      return native.hostConnectTcp(address, this.#port);
    });
    return dial(this.#connections, attempts, answer);
  }

  close(): void {}
}
