// Frames that follow each other from one port to another with the same headers: what was decided
// for the first holds for the rest of the batch, and one command copies them all. A frame decided
// on its own costs as much as eight of a row.

import type { Batch } from '../../../core/virtqueue/batch.js';
import type { CommandWriter } from '../../../core/virtqueue/command-writer.js';
import { FRAME_BYTES_MAX, HEADER_BYTES } from '../format.js';
import type { CopyScratch } from './copy-scratch.js';
import type { LinkHeader } from './link-header.js';
import type { SwitchPort } from './switch-port.js';

/** A batch has no more requests. */
const FRAMES_MAX = 256;
const WORD_BYTES = 4;
const PAIR_WORDS = 2;

export class FrameRow {
  readonly #commands: CommandWriter;
  readonly #scratch: CopyScratch;
  /** Undefined: there is no row. */
  #from: SwitchPort | undefined;
  #to: SwitchPort | undefined;
  #link: LinkHeader | undefined;
  #prefix = 0;
  #prefixBytes = 0;
  /** What a frame is longer than in the sender's chain. */
  #shift = 0;
  /** Pairs of the whole batch, where they are in the scratch; undefined: no place taken yet. */
  #pairs: number | undefined;
  #pairCount = 0;
  /** Those not ordered yet, and the bytes of their frames as they were sent. */
  #count = 0;
  #bytes = 0;

  constructor(commands: CommandWriter, scratch: CopyScratch) {
    this.#commands = commands;
    this.#scratch = scratch;
  }

  /** A batch begins. */
  begin(): void {
    this.#from = undefined;
    this.#pairs = undefined;
    this.#pairCount = 0;
  }

  /** A frame has been copied whose headers, `prefixBytes` at `prefix` of the scratch, are those of
   *  all that follow. `link`: of that frame, as it came; nothing else is read into it before
   *  `close`. */
  open(
    from: SwitchPort,
    to: SwitchPort,
    link: LinkHeader,
    prefix: number,
    prefixBytes: number,
  ): void {
    this.#pairs ??= this.#scratch.take(FRAMES_MAX * PAIR_WORDS * WORD_BYTES);
    if (this.#pairs === undefined) {
      return;
    }
    this.#from = from;
    this.#to = to;
    this.#link = link;
    this.#prefix = prefix;
    this.#prefixBytes = prefixBytes;
    this.#shift = prefixBytes - HEADER_BYTES - link.bytes;
  }

  /** Takes request `index` if it goes on with the row and there is room for it. */
  add(from: SwitchPort, batch: Batch, index: number): boolean {
    if (from !== this.#from) {
      return false;
    }
    const to = this.#to as SwitchPort;
    const link = this.#link as LinkHeader;
    const bytes = batch.readableBytes(index) - HEADER_BYTES;
    // A virtio header of zeroes: nothing is left to be done.
    const alike =
      batch.headerWord(index, 0) === 0 &&
      bytes >= link.bytes &&
      bytes <= FRAME_BYTES_MAX &&
      link.matches(batch, index);
    if (!alike || to.chains.chainsFor(HEADER_BYTES + bytes + this.#shift) !== 1) {
      return false;
    }
    const { words } = this.#scratch;
    const at = (this.#pairs as number) / WORD_BYTES + this.#pairCount++ * PAIR_WORDS;
    words[at] = batch.chain(index);
    words[at + 1] = to.chains.take();
    this.#count++;
    this.#bytes += bytes;
    return true;
  }

  /** The row ends: what it has is ordered. */
  close(): void {
    const from = this.#from;
    if (from === undefined) {
      return;
    }
    this.#from = undefined;
    if (this.#count > 0) {
      const first = this.#pairCount - this.#count;
      const pairs = (this.#pairs as number) + first * PAIR_WORDS * WORD_BYTES;
      this.#commands.copyFrames(
        this.#scratch.inArena(pairs),
        this.#count,
        HEADER_BYTES + (this.#link as LinkHeader).bytes,
        this.#scratch.inArena(this.#prefix),
        this.#prefixBytes,
      );
      from.sent(this.#bytes, this.#count);
      this.#to?.received(this.#bytes + this.#count * this.#shift, this.#count);
      this.#count = this.#bytes = 0;
    }
  }
}
