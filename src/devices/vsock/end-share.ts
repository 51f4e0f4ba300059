// What one end sees of the device: as many connections as it may have, so that a flood at one
// leaves room for the others.

import { native } from '../../native/index.js';
import type {
  Answer,
  Cancel,
  GuestRequest,
  HostConnections,
  HostLink,
  HostTarget,
} from './host-end.js';

export class EndShare implements HostConnections {
  readonly #connections: HostConnections;
  readonly #max: number;
  #count = 0;

  constructor(connections: HostConnections, max: number) {
    this.#connections = connections;
    this.#max = max;
  }

  get count(): number {
    return this.#count;
  }

  open(
    link: HostLink,
    type: number,
    guestPort: number,
    established: (hostPort: number) => void,
  ): void {
    if (this.#count >= this.#max) {
      native.fdClose(link.fd);
      link.ended?.(true);
      return;
    }
    this.#count++;
    this.#connections.open(this.#counted(link), type, guestPort, established);
  }

  /** A connection of the guest's to a target behind this end. */
  connect(target: HostTarget, request: GuestRequest, answer: Answer): Cancel | undefined {
    if (this.#count >= this.#max) {
      answer(undefined);
      return undefined;
    }
    this.#count++;
    const cancel = target.connect(request, (link) => {
      if (link === undefined) {
        this.#count--;
        answer(undefined);
      } else {
        answer(this.#counted(link));
      }
    });
    return cancel === undefined
      ? undefined
      : () => {
          this.#count--;
          cancel();
        };
  }

  watch(fd: number, event: (hungUp: boolean) => void, writable = false): number {
    return this.#connections.watch(fd, event, writable);
  }

  unwatch(token: number): void {
    this.#connections.unwatch(token);
  }

  after(limitMs: number, expire: () => void): void {
    this.#connections.after(limitMs, expire);
  }

  #counted(link: HostLink): HostLink {
    return {
      ...link,
      ended: (aborted) => {
        this.#count--;
        link.ended?.(aborted);
      },
    };
  }
}
