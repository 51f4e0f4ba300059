// All ends of one guest, made from plain options, and which of them a port leads to.

import { EndShare } from './end-share.js';
import { ExecTarget } from './exec-target.js';
import type {
  Answer,
  Cancel,
  GuestRequest,
  HostConnections,
  HostEnd,
  HostTarget,
} from './host-end.js';
import { ListenEnd, type ListenEndOptions } from './listen-end.js';
import type { ForwardTarget } from './options.js';
import { ParentTarget } from './parent-target.js';
import { SiblingEnd, type SiblingOptions, SiblingTarget } from './sibling-end.js';
import { TcpTarget } from './tcp-target.js';
import { UdsEnd, type UdsEndOptions } from './uds-end.js';
import { UnixTarget } from './unix-target.js';

/** Half of what the guest may have in all: no end can take every place. */
const END_CONNECTIONS_MAX = 16_384;

export interface HostEndsOptions {
  readonly guestCid: number;
  readonly uds?: UdsEndOptions | undefined;
  readonly forwards?: readonly { readonly port: number; readonly to: ForwardTarget }[];
  readonly listeners?: readonly ListenEndOptions[];
  /** Where ports without an end of their own lead to. */
  readonly parentCid?: number | undefined;
  readonly siblings?: SiblingOptions | undefined;
}

type Route = (request: GuestRequest, answer: Answer) => Cancel | undefined;

export class HostEnds {
  readonly #connections: HostConnections;
  readonly #ends: HostEnd[] = [];
  readonly #named: TcpTarget[] = [];
  readonly #ports = new Map<number, Route>();
  readonly #siblings = new Map<number, Route>();
  #others: Route = (_, answer) => void answer(undefined);

  constructor(options: HostEndsOptions, connections: HostConnections) {
    this.#connections = connections;
    const { uds, forwards = [], listeners = [], parentCid, siblings } = options;
    for (const { port, to } of forwards) {
      this.#ports.set(
        port,
        this.#route((share) => this.#target(to, share)),
      );
    }
    for (const listener of listeners) {
      this.#ends.push(new ListenEnd(listener, this.#share()));
    }
    for (const sibling of siblings?.others ?? []) {
      const route = this.#route(
        (share) => new SiblingTarget(options.guestCid, sibling.door, share),
      );
      this.#siblings.set(sibling.cid, route);
    }
    if (siblings !== undefined) {
      this.#ends.push(new SiblingEnd(siblings.door, this.#share()));
    }
    if (uds !== undefined) {
      this.#others = this.#route((share) => new UdsEnd(uds, share));
    } else if (parentCid !== undefined) {
      this.#others = this.#route((share) => new ParentTarget(parentCid, share));
    }
  }

  connect(request: GuestRequest, answer: Answer): Cancel | undefined {
    const toHost = this.#ports.get(request.hostPort) ?? this.#others;
    return (this.#siblings.get(request.peerCid) ?? toHost)(request, answer);
  }

  hasSibling(cid: number): boolean {
    return this.#siblings.has(cid);
  }

  /** Where a name leads to now. */
  addresses(host: string, addresses: readonly string[]): void {
    for (const target of this.#named) {
      if (target.host === host) {
        target.addresses = addresses;
      }
    }
  }

  close(): void {
    for (const end of this.#ends) {
      end.close();
    }
  }

  #share(): EndShare {
    return new EndShare(this.#connections, END_CONNECTIONS_MAX);
  }

  #route(make: (share: EndShare) => HostTarget): Route {
    const share = this.#share();
    const target = make(share);
    this.#ends.push(target);
    return (request, answer) => share.connect(target, request, answer);
  }

  #target(to: ForwardTarget, share: EndShare): HostTarget {
    switch (to.kind) {
      case 'unix':
        return new UnixTarget(to.path);
      case 'exec':
        return new ExecTarget(to.command, share);
      case 'tcp': {
        const target = new TcpTarget(to.host, to.port, share);
        this.#named.push(target);
        return target;
      }
    }
  }
}
