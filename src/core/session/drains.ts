// Waiting for requests in flight, within a limit. Storage that hangs must not hold the front-end
// for ever; what is left then is waited for when the session ends.

import { VhostUserError } from '../protocol/index.js';
import { withLimit } from './with-limit.js';

/** QEMU's own I/O timeouts are longer. */
export const DRAIN_TIMEOUT_MS = 30_000;

export class Drains {
  readonly #timeoutMs: number;
  /** Work that may outlive its request. */
  readonly #running = new Set<Promise<unknown>>();

  constructor(timeoutMs: number = DRAIN_TIMEOUT_MS) {
    this.#timeoutMs = timeoutMs;
  }

  /** The work's outcome, or DRAIN_TIMEOUT while it goes on. */
  async run<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const settled = () => this.#running.delete(work);
    work.then(settled, settled);
    return await withLimit(work, this.#timeoutMs, () => new VhostUserError('DRAIN_TIMEOUT'));
  }

  /** All of it is over, well or not; never rejects. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}
