// Takes everything, gives nothing: what the data path costs by itself.

import type { Port, PortContext } from './port.js';

export class NullPort implements Port {
  readonly #options: PortContext;
  /** Of this batch. */
  #packets = 0;
  #bytes = 0;

  constructor(options: PortContext) {
    this.#options = options;
  }

  transmit(chain: number, frameBytes: number): void {
    this.#options.done.add(chain);
    this.#packets++;
    this.#bytes += frameBytes;
  }

  flush(): void {
    const { counters, transmitQueue } = this.#options;
    counters.moved(transmitQueue, this.#packets, this.#bytes);
    this.#packets = this.#bytes = 0;
  }

  pump(): void {}
  attach(): void {}
  completion(): void {}
  event(): void {}
  close(): void {}
}
