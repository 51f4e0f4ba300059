// Takes everything, gives nothing: what the data path costs by itself.

import type { Port, PortContext } from './port.js';

export class NullPort implements Port {
  readonly #options: PortContext;

  constructor(options: PortContext) {
    this.#options = options;
  }

  transmit(chain: number, frameBytes: number): void {
    const { context, counters, transmitQueue } = this.#options;
    context.commands.complete(chain, 0);
    counters.moved(transmitQueue, 1, frameBytes);
  }

  pump(): void {}
  attach(): void {}
  completion(): void {}
  event(): void {}
  close(): void {}
}
