// Chains to be given back with nothing written in them: one command for as many as a batch brings.

import type { HandlerContext } from '../../core/device.js';
import { Arena } from './arena.js';

export class CompletionList {
  readonly #context: HandlerContext;
  /** Chain numbers, round and round. Those of commands not carried out yet are in flight, and never
   *  more than a ring has, so none is overwritten. */
  readonly #chains: Uint32Array;
  readonly #offset: number;
  /** Ordered so far, and added behind that: both within the list. */
  #from = 0;
  #to = 0;

  constructor(context: HandlerContext, arena: Arena, queueSize: number) {
    this.#context = context;
    this.#offset = arena.allocate(queueSize * 4);
    this.#chains = arena.words(this.#offset, queueSize);
  }

  static arenaBytes(queueSize: number): number {
    return Arena.rounded(queueSize * 4);
  }

  add(chain: number): void {
    this.#chains[this.#to++] = chain;
    if (this.#to === this.#chains.length) {
      this.flush();
      this.#from = this.#to = 0;
    }
  }

  /** What was added goes back with the next turn. */
  flush(): void {
    const count = this.#to - this.#from;
    if (count > 0) {
      this.#context.commands.completeList(this.#offset + this.#from * 4, count);
      this.#from = this.#to;
    }
  }
}
