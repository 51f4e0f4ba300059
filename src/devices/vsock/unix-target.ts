// The guest's connections to whoever listens at a path. Connecting to a UNIX socket never waits.

import { native } from '../../native/index.js';
import type { Answer, GuestRequest, HostTarget } from './host-end.js';
import { socketType } from './host-socket.js';

export class UnixTarget implements HostTarget {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  connect({ type }: GuestRequest, answer: Answer): undefined {
    const fd = native.hostConnect(this.#path, socketType(type));
    answer(fd < 0 ? undefined : { fd });
  }

  close(): void {}
}
