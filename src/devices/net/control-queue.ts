// The control queue, where the front-end hands it over (VIRTIO 1.3 §5.1.6.5): commands are read
// into private memory once (NT-022) and answered at once.

import type { HandlerContext } from '../../core/device.js';
import { type ControlledCard, runControlCommand } from './control-commands.js';
import type { NetCounters } from './counters.js';
import { CONTROL_ERROR, CONTROL_HEADER_BYTES, CONTROL_OK } from './format.js';

/** Linux sends all addresses of an interface in one command: ten thousand fit. */
const COMMAND_BYTES_MAX = 64 << 10;

export class ControlQueue {
  readonly #context: HandlerContext;
  readonly #counters: NetCounters;
  readonly #bytes = new Uint8Array(COMMAND_BYTES_MAX);
  readonly #answer = new Uint8Array(1);

  constructor(context: HandlerContext, counters: NetCounters) {
    this.#context = context;
    this.#counters = counters;
  }

  /** Carries out the command of a chain and gives it back; true when something may have changed. */
  serve(
    queue: number,
    chain: number,
    readableBytes: number,
    writableBytes: number,
    card: ControlledCard,
  ): boolean {
    const { commands } = this.#context;
    if (writableBytes === 0) {
      // Nowhere to say what became of it: nothing becomes of it (NT-020).
      this.#counters.dropped(queue, 'command');
      commands.complete(chain, 0);
      return false;
    }
    const done = this.#run(chain, readableBytes, card);
    this.#answer[0] = done ? CONTROL_OK : CONTROL_ERROR;
    this.#context.copyIn(chain, 0, this.#answer, 1);
    commands.complete(chain, 1);
    if (done) {
      this.#counters.moved(queue, 1, readableBytes);
    } else {
      this.#counters.dropped(queue, 'command');
    }
    return done;
  }

  #run(chain: number, readableBytes: number, card: ControlledCard): boolean {
    if (readableBytes < CONTROL_HEADER_BYTES || readableBytes > COMMAND_BYTES_MAX) {
      return false;
    }
    const copied = this.#context.copyOut(chain, 0, this.#bytes, readableBytes);
    return copied === readableBytes && runControlCommand(this.#bytes.subarray(0, copied), card);
  }
}
