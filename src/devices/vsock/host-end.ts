// What an end has to offer: a way between the guest's ports and the host's programs. The control
// half opens listening sockets; the data half, in the worker, accepts and connects.

/** The host's side of one connection. */
export interface HostLink {
  readonly fd: number;
  /** Who it is, where that is not the host: another guest. */
  readonly peer?: { readonly cid: number; readonly port: number } | undefined;
  /** Another guest of this daemon is at its far end, whose worker understands marks. */
  readonly sibling?: boolean;
  /** The socket was closed; aborted: before both sides had said their last. */
  readonly ended?: (aborted: boolean) => void;
}

/** Where connections from the host go, and how their programs learn of it. */
export interface HostConnections {
  /** A program wants this port of the guest's. The link is given away; `established` is called
   *  when the guest has accepted, before anything is read or written. */
  open(
    link: HostLink,
    type: number,
    guestPort: number,
    established: (hostPort: number) => void,
  ): void;
  /** A token for a watch of one's own. */
  watch(fd: number, event: (hungUp: boolean) => void, writable?: boolean): number;
  unwatch(token: number): void;
  /** Calls back after so long. */
  after(limitMs: number, expire: () => void): void;
}

/** What the guest asks for. */
export interface GuestRequest {
  readonly type: number;
  /** The host's, or another guest's; `hostPort` is a port of it. */
  readonly peerCid: number;
  readonly guestPort: number;
  readonly hostPort: number;
}

/** A link, or nothing: refused. */
export type Answer = (link: HostLink | undefined) => void;

/** Takes a request back: no answer is wanted any more. */
export type Cancel = () => void;

/** Where connections of the guest's go. */
export interface HostTarget {
  /** Calls `answer` once: at once and returns nothing, or later. */
  connect(request: GuestRequest, answer: Answer): Cancel | undefined;
  close(): void;
}

/** Where connections of the host's programs come from. */
export interface HostEnd {
  close(): void;
}
