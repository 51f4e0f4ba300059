// The guest's connections to the same port of another CID, through the host's own AF_VSOCK: where
// the host is a guest itself, or has the loopback transport.

import { native } from '../../native/index.js';
import { dial } from './dial.js';
import { PORT_ANY } from './format.js';
import type { Answer, Cancel, GuestRequest, HostConnections, HostTarget } from './host-end.js';
import { socketType } from './host-socket.js';

export class ParentTarget implements HostTarget {
  readonly #cid: number;
  readonly #connections: HostConnections;

  constructor(cid: number, connections: HostConnections) {
    this.#cid = cid;
    this.#connections = connections;
  }

  connect({ type, hostPort }: GuestRequest, answer: Answer): Cancel | undefined {
    if (hostPort === PORT_ANY) {
      // VS-041: no socket has it, and not every transport refuses it.
      answer(undefined);
      return undefined;
    }
    const attempt = () => native.hostConnectVsock(this.#cid, hostPort, socketType(type));
    return dial(this.#connections, [attempt], answer);
  }

  close(): void {}
}
