// Private memory that copies of frames name until they are carried out: headers, numbers of chains,
// now and then a whole frame. Handed out in a row, and all free again once no command is left.

import type { CommandWriter } from '../../../core/virtqueue/command-writer.js';
import type { Arena } from '../arena.js';

/** A batch of 256 frames to 128 ports with a header each; or what three guests send in a turn, cut
 *  for a receiver that takes only finished frames. */
const SCRATCH_BYTES = 2 << 20;

const WORD_BYTES = 4;

export class CopyScratch {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  readonly #commands: CommandWriter;
  readonly #start: number;
  #used = 0;

  constructor(arena: Arena, commands: CommandWriter) {
    this.#commands = commands;
    this.#start = arena.allocate(SCRATCH_BYTES);
    this.bytes = arena.bytes.subarray(this.#start, this.#start + SCRATCH_BYTES);
    this.words = arena.words(this.#start, SCRATCH_BYTES / WORD_BYTES);
  }

  static readonly arenaBytes = SCRATCH_BYTES;

  /** A batch begins. */
  begin(): void {
    if (!this.#commands.pending) {
      this.#used = 0;
    }
  }

  /** Where in `bytes` there is room, on a word's boundary; undefined: nowhere. */
  take(bytes: number): number | undefined {
    const at = this.#used;
    const end = at + Math.ceil(bytes / WORD_BYTES) * WORD_BYTES;
    if (end > SCRATCH_BYTES) {
      return undefined;
    }
    this.#used = end;
    return at;
  }

  /** The same place as commands name it. */
  inArena(at: number): number {
    return this.#start + at;
  }
}
