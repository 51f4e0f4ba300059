// The guest's connections to programs: one is started for each.

import { Child } from './child.js';
import type { Answer, GuestRequest, HostConnections, HostTarget } from './host-end.js';
import { socketType } from './host-socket.js';

/** A guest that connects in a loop must not fill the host's table of processes: a service of
 *  systemd's may have a few thousand tasks. */
export const PROCESSES_MAX = 256;
/** For all of them to end when the worker does. */
const CLOSE_LIMIT_MS = 500;
const CLOSE_STEP_MS = 5;

export class ExecTarget implements HostTarget {
  readonly #command: string;
  readonly #connections: HostConnections;
  readonly #children = new Set<Child>();

  constructor(command: string, connections: HostConnections) {
    this.#command = command;
    this.#connections = connections;
  }

  connect({ type }: GuestRequest, answer: Answer): undefined {
    const child =
      this.#children.size < PROCESSES_MAX
        ? Child.start(this.#command, socketType(type), this.#connections, (child) =>
            this.#children.delete(child),
          )
        : undefined;
    if (child !== undefined) {
      this.#children.add(child);
    }
    answer(child?.link);
  }

  /** Nothing of ours outlives the worker. Nobody is served any more, so it may sleep. */
  close(): void {
    for (const child of this.#children) {
      child.terminate();
    }
    this.#takeAll();
    for (const child of this.#children) {
      child.kill();
    }
    this.#takeAll();
  }

  #takeAll(): void {
    const endMs = performance.now() + CLOSE_LIMIT_MS;
    const never = new Int32Array(new SharedArrayBuffer(4));
    for (;;) {
      for (const child of this.#children) {
        child.take();
      }
      if (this.#children.size === 0 || performance.now() > endMs) {
        return;
      }
      Atomics.wait(never, 0, 0, CLOSE_STEP_MS);
    }
  }
}
