// A connection to somewhere that takes its time: one address after another, within a limit.

import { constants } from 'node:os';
import { native } from '../../native/index.js';
import type { Answer, Cancel, HostConnections } from './host-end.js';

/** Linux's guests wait two seconds for an answer; all attempts together get as much. */
const DIAL_LIMIT_MS = 2000;

const EINPROGRESS = -constants.errno.EINPROGRESS;

/** Begins a connection: a descriptor, or -errno. */
export type Attempt = () => number;

/** Tries in turn. Answers with the first that comes to be, or with nothing. */
export function dial(
  connections: HostConnections,
  attempts: readonly Attempt[],
  answer: Answer,
): Cancel | undefined {
  const made = new Dial(connections, attempts, answer);
  made.next();
  return made.over ? undefined : () => made.cancel();
}

interface Pending {
  readonly fd: number;
  readonly token: number;
}

class Dial {
  readonly #connections: HostConnections;
  readonly #attempts: readonly Attempt[];
  readonly #answer: Answer;
  #nextAttempt = 0;
  #pending: Pending | undefined;
  over = false;

  constructor(connections: HostConnections, attempts: readonly Attempt[], answer: Answer) {
    this.#connections = connections;
    this.#attempts = attempts;
    this.#answer = answer;
  }

  next(): void {
    for (;;) {
      const attempt = this.#attempts[this.#nextAttempt++];
      if (attempt === undefined) {
        this.over = true;
        this.#answer(undefined);
        return;
      }
      const fd = attempt();
      if (fd >= 0) {
        this.#wait(fd);
        return;
      }
    }
  }

  cancel(): void {
    this.over = true;
    this.#drop();
  }

  #wait(fd: number): void {
    const token = this.#connections.watch(fd, (hungUp) => this.#outcome(hungUp), true);
    const pending = { fd, token };
    this.#pending = pending;
    this.#connections.after(Math.floor(DIAL_LIMIT_MS / this.#attempts.length), () => {
      if (this.#pending === pending) {
        this.#drop();
        this.next();
      }
    });
  }

  #outcome(hungUp: boolean): void {
    const { fd, token } = this.#pending as Pending;
    const result = native.hostConnected(fd);
    if (result === EINPROGRESS && !hungUp) {
      return;
    }
    if (result !== 0) {
      this.#drop();
      this.next();
      return;
    }
    this.#connections.unwatch(token);
    this.#pending = undefined;
    this.over = true;
    this.#answer({ fd });
  }

  #drop(): void {
    if (this.#pending !== undefined) {
      this.#connections.unwatch(this.#pending.token);
      native.fdClose(this.#pending.fd);
      this.#pending = undefined;
    }
  }
}
