// Takes everything, gives nothing: what the data path costs by itself.

import { queueOfChain } from '../../../core/virtqueue/batch.js';
import type { Port, PortContext } from './port.js';

export class NullPort implements Port {
  readonly #options: PortContext;
  /** Of this batch. */
  #queue = 0;
  #packets = 0;
  #bytes = 0;

  constructor(options: PortContext) {
    this.#options = options;
  }

  transmit(chain: number, _offset: number, frameBytes: number): void {
    this.#options.done.add(chain);
    this.#queue = queueOfChain(chain);
    this.#packets++;
    this.#bytes += frameBytes;
  }

  flush(): void {
    this.#options.counters.moved(this.#queue, this.#packets, this.#bytes);
    this.#packets = this.#bytes = 0;
  }

  pump(): void {}
  attach(): void {}
  completion(): void {}
  event(): void {}
  close(): void {}
}
