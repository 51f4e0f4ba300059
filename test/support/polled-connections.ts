// Ends of vsock without a device: descriptors are really polled, links come to the test.

import type { GuestRequest, HostConnections, HostLink } from '../../src/devices/vsock/host-end.js';
import { native, READABLE, type Watcher, WRITABLE } from '../../src/native/index.js';

export interface Opened {
  readonly link: HostLink;
  readonly type: number;
  readonly guestPort: number;
  readonly established: (hostPort: number) => void;
}

export class PolledConnections implements HostConnections {
  readonly opened: Opened[] = [];
  readonly #watchers = new Map<number, Watcher>();
  readonly #timers: { readonly limitMs: number; readonly expire: () => void }[] = [];
  #nextToken = 0;

  open(
    link: HostLink,
    type: number,
    guestPort: number,
    established: (hostPort: number) => void,
  ): void {
    this.opened.push({ link, type, guestPort, established });
  }

  watch(fd: number, event: (hungUp: boolean) => void, writable = false): number {
    const token = this.#nextToken++;
    const watcher = new native.Watcher(fd, () => event(false));
    watcher.watch(writable ? READABLE | WRITABLE : READABLE);
    this.#watchers.set(token, watcher);
    return token;
  }

  unwatch(token: number): void {
    this.#watchers.get(token)?.close();
    this.#watchers.delete(token);
  }

  after(limitMs: number, expire: () => void): void {
    this.#timers.push({ limitMs, expire });
  }

  /** As if so much time had passed. */
  pass(limitMs: number): void {
    for (const timer of this.#timers.filter((timer) => timer.limitMs <= limitMs)) {
      this.#timers.splice(this.#timers.indexOf(timer), 1);
      timer.expire();
    }
  }

  get watching(): number {
    return this.#watchers.size;
  }

  close(): void {
    for (const token of [...this.#watchers.keys()]) {
      this.unwatch(token);
    }
  }
}

export const STREAM_REQUEST: GuestRequest = {
  type: 1,
  peerCid: 2,
  guestPort: 5000,
  hostPort: 80,
};
export const MESSAGE_REQUEST: GuestRequest = { ...STREAM_REQUEST, type: 2 };
