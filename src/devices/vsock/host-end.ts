// What a way to the host's programs has to offer. The control half opens its listening sockets; the
// data half, in the worker, accepts and connects.

/** Where connections from the host go, and how their programs learn of it. */
export interface HostConnections {
  /** A program wants this port of the guest's. The socket is given away; `established` is called
   *  when the guest has accepted, before anything is read or written. */
  open(fd: number, type: number, guestPort: number, established: (hostPort: number) => void): void;
  /** A token for a watch of one's own. */
  watch(fd: number, event: (hungUp: boolean) => void): number;
  unwatch(token: number): void;
  /** Calls back after so long. */
  after(limitMs: number, expire: () => void): void;
}

export interface HostEnd {
  /** A socket for the guest's connection to a port, or -errno. */
  connect(hostPort: number, type: number): number;
  close(): void;
}
