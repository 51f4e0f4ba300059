// Connections, and requests for some, by their peer and two ports; and ports for those the host
// opens. Levels of maps: a pair of 32-bit ports is no number without loss, and a string for each
// packet is garbage.

import { HOST_CID } from './format.js';

/** Ports we give to the host's side: above those that people listen on, where Firecracker's are. */
const FIRST_PORT = 2 ** 30;
const PORTS = 2 ** 30;

interface Ports {
  readonly peerCid: number;
  readonly guestPort: number;
  readonly hostPort: number;
}

/** Guest port, then host port. */
type PortMap<T> = Map<number, Map<number, T>>;

export class ConnectionTable<T extends Ports> {
  readonly #max: number;
  /** By far most are with the host: one look-up less for each packet. */
  readonly #host: PortMap<T> = new Map();
  readonly #siblings = new Map<number, PortMap<T>>();
  #size = 0;
  #nextPort = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  get full(): boolean {
    return this.#size >= this.#max;
  }

  find(peerCid: number, guestPort: number, hostPort: number): T | undefined {
    return this.#ofPeer(peerCid)?.get(guestPort)?.get(hostPort);
  }

  add(connection: T): void {
    const { peerCid, guestPort, hostPort } = connection;
    let ports = this.#ofPeer(peerCid);
    if (ports === undefined) {
      ports = new Map();
      this.#siblings.set(peerCid, ports);
    }
    let inner = ports.get(guestPort);
    if (inner === undefined) {
      inner = new Map();
      ports.set(guestPort, inner);
    }
    inner.set(hostPort, connection);
    this.#size++;
  }

  /** Maps of siblings stay: there are as many as guests, whatever a guest says. */
  delete({ peerCid, guestPort, hostPort }: Ports): void {
    const ports = this.#ofPeer(peerCid);
    const inner = ports?.get(guestPort);
    if (inner?.delete(hostPort) === true) {
      this.#size--;
      if (inner.size === 0) {
        ports?.delete(guestPort);
      }
    }
  }

  /** A host port free beside this guest port; there is one, with fewer connections than ports. */
  freePort(guestPort: number): number {
    for (;;) {
      const port = FIRST_PORT + this.#nextPort;
      this.#nextPort = (this.#nextPort + 1) % PORTS;
      if (this.find(HOST_CID, guestPort, port) === undefined) {
        return port;
      }
    }
  }

  *all(): Generator<T> {
    for (const ports of [this.#host, ...this.#siblings.values()]) {
      for (const inner of ports.values()) {
        yield* inner.values();
      }
    }
  }

  clear(): void {
    this.#host.clear();
    this.#siblings.clear();
    this.#size = 0;
  }

  #ofPeer(peerCid: number): PortMap<T> | undefined {
    return peerCid === HOST_CID ? this.#host : this.#siblings.get(peerCid);
  }
}
