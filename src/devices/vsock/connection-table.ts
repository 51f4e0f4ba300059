// Connections, and requests for some, by their two ports; and ports for those the host opens. Two
// levels of maps: a pair of 32-bit ports is no number without loss, and a string for each packet is
// garbage.

/** Ports we give to the host's side: above those that people listen on, where Firecracker's are. */
const FIRST_PORT = 2 ** 30;
const PORTS = 2 ** 30;

interface Ports {
  readonly guestPort: number;
  readonly hostPort: number;
}

export class ConnectionTable<T extends Ports> {
  readonly #max: number;
  /** Guest port, then host port. */
  readonly #ports = new Map<number, Map<number, T>>();
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

  find(guestPort: number, hostPort: number): T | undefined {
    return this.#ports.get(guestPort)?.get(hostPort);
  }

  add(connection: T): void {
    const { guestPort, hostPort } = connection;
    let inner = this.#ports.get(guestPort);
    if (inner === undefined) {
      inner = new Map();
      this.#ports.set(guestPort, inner);
    }
    inner.set(hostPort, connection);
    this.#size++;
  }

  delete({ guestPort, hostPort }: Ports): void {
    const inner = this.#ports.get(guestPort);
    if (inner?.delete(hostPort) === true) {
      this.#size--;
      if (inner.size === 0) {
        this.#ports.delete(guestPort);
      }
    }
  }

  /** A host port free beside this guest port; there is one, with fewer connections than ports. */
  freePort(guestPort: number): number {
    for (;;) {
      const port = FIRST_PORT + this.#nextPort;
      this.#nextPort = (this.#nextPort + 1) % PORTS;
      if (this.find(guestPort, port) === undefined) {
        return port;
      }
    }
  }

  *all(): Generator<T> {
    for (const inner of this.#ports.values()) {
      yield* inner.values();
    }
  }

  clear(): void {
    this.#ports.clear();
    this.#size = 0;
  }
}
