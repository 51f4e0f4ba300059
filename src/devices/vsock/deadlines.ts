// Things that must happen within a time that is the same for all of a kind: a queue is sorted by
// itself, and one timer looks at its front now and then.

import type { HandlerContext } from '../../core/device.js';
import { check, native } from '../../native/index.js';

/** Time limits are exact to this much. */
const TICK_MS = 250;

interface Deadline {
  readonly atMs: number;
  readonly expire: () => void;
}

export class Deadlines {
  readonly #context: HandlerContext;
  readonly #token: number;
  readonly #timer = check('timerfd', native.timerCreate());
  /** Time limit in ms to what waits for it. */
  readonly #kinds = new Map<number, Deadline[]>();
  #armed = false;

  constructor(context: HandlerContext, token: number) {
    this.#context = context;
    this.#token = token;
    context.watch(this.#timer, token);
  }

  /** Calls `expire` after that time; it finds out whether it still matters. */
  add(limitMs: number, expire: () => void): void {
    const list = this.#kinds.get(limitMs) ?? [];
    this.#kinds.set(limitMs, list);
    list.push({ atMs: performance.now() + limitMs, expire });
    if (!this.#armed) {
      this.#arm();
    }
  }

  /** The timer has expired. */
  tick(): void {
    const nowMs = performance.now();
    for (const [limitMs, list] of this.#kinds) {
      const first = list.findIndex(({ atMs }) => atMs > nowMs);
      const due = first < 0 ? list : list.slice(0, first);
      const rest = first < 0 ? [] : list.slice(first);
      this.#kinds.set(limitMs, rest);
      for (const { expire } of due) {
        expire();
      }
    }
    this.#armed = false;
    if ([...this.#kinds.values()].some((list) => list.length > 0)) {
      this.#arm();
    }
  }

  /** Once: a timerfd goes on by itself only for somebody who reads it. */
  #arm(): void {
    this.#armed = true;
    check('timer', native.timerArm(this.#timer, TICK_MS, 0));
  }

  close(): void {
    this.#context.unwatch(this.#token);
    native.fdClose(this.#timer);
  }
}
