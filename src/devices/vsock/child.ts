// One program for one connection: it ends with the connection, and is given a moment for it when
// the guest has left in good order.

import { constants } from 'node:os';
import { native } from '../../native/index.js';
import type { HostConnections, HostLink } from './host-end.js';

const { SIGTERM, SIGKILL } = constants.signals;

/** To work off what it has read, after both sides have said their last. */
const LINGER_LIMIT_MS = 10_000;
/** From SIGTERM to SIGKILL. */
const TERMINATE_LIMIT_MS = 2000;

export class Child {
  readonly link: HostLink;
  readonly #connections: HostConnections;
  readonly #pid: number;
  readonly #pidFd: number;
  readonly #over: (child: Child) => void;
  readonly #token: number;
  /** It runs no more. Its number stays its own until it is taken, so that signals go to nobody
   *  else. */
  #exited = false;
  #linkEnded = false;
  #terminated = false;
  #taken = false;

  private constructor(
    [pid, pidFd, fd]: readonly [number, number, number],
    connections: HostConnections,
    over: (child: Child) => void,
  ) {
    this.#connections = connections;
    this.#pid = pid;
    this.#pidFd = pidFd;
    this.#over = over;
    this.link = { fd, ended: (aborted) => this.#ended(aborted) };
    this.#token = connections.watch(pidFd, () => {
      this.#exited = true;
      this.#settle();
    });
  }

  /** undefined: the system has no room for another. */
  static start(
    command: string,
    type: number,
    connections: HostConnections,
    over: (child: Child) => void,
  ): Child | undefined {
    const out = new Int32Array(3);
    return native.childStart(command, type, out) < 0
      ? undefined
      : new Child([...out] as [number, number, number], connections, over);
  }

  /** To it and all it has started. */
  terminate(): void {
    if (!this.#terminated && !this.#taken) {
      this.#terminated = true;
      native.childSignal(this.#pid, SIGTERM);
      this.#connections.after(TERMINATE_LIMIT_MS, () => this.kill());
    }
  }

  kill(): void {
    if (!this.#taken) {
      native.childSignal(this.#pid, SIGKILL);
    }
  }

  /** Takes it if it has ended; whether it is taken. */
  take(): boolean {
    if (!this.#taken && native.childTake(this.#pid) !== 0) {
      this.#taken = true;
      this.#connections.unwatch(this.#token);
      native.fdClose(this.#pidFd);
      this.#over(this);
    }
    return this.#taken;
  }

  #ended(aborted: boolean): void {
    this.#linkEnded = true;
    if (aborted) {
      this.terminate();
    } else {
      this.#connections.after(LINGER_LIMIT_MS, () => this.terminate());
    }
    this.#settle();
  }

  #settle(): void {
    if (this.#exited && this.#linkEnded) {
      if (this.#terminated) {
        // What it started and left behind; its number is still its group's.
        this.kill();
      }
      this.take();
    }
  }
}
