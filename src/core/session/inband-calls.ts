// Calls to the driver as messages (vhost-user: INBAND_NOTIFICATIONS). One call of a vring is on its
// way at a time; those that come meanwhile become one more. So a busy ring costs what the front-end
// can take, not what the driver submits.

export class InbandCalls {
  readonly #send: (queue: number) => Promise<unknown>;
  readonly #onLost: (queue: number, error: unknown) => void;
  /** Queues with a call on its way; true: another one is due after it. */
  readonly #waiting = new Map<number, boolean>();

  constructor(
    send: (queue: number) => Promise<unknown>,
    onLost: (queue: number, error: unknown) => void,
  ) {
    this.#send = send;
    this.#onLost = onLost;
  }

  call(queue: number): void {
    if (this.#waiting.has(queue)) {
      this.#waiting.set(queue, true);
    } else {
      void this.#sendUntilTold(queue);
    }
  }

  /** The vring stops, after which nothing may be sent, and the driver waits for a call that is
   *  still due: it goes out now. */
  flush(queue: number): void {
    if (this.#waiting.get(queue) === true) {
      this.#waiting.set(queue, false);
      this.#send(queue).catch((error: unknown) => this.#onLost(queue, error));
    }
  }

  async #sendUntilTold(queue: number): Promise<void> {
    do {
      this.#waiting.set(queue, false);
      try {
        await this.#send(queue);
      } catch (error) {
        this.#onLost(queue, error);
      }
    } while (this.#waiting.get(queue) === true);
    this.#waiting.delete(queue);
  }
}
