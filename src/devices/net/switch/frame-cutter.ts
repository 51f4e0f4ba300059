// Frames that a sender has left to be cut (VIRTIO 1.3 §5.1.6.2), for a receiver that takes only
// finished ones. The slow way: two more copies, in private memory.

import { native } from '../../../native/index.js';
import { FRAME_BYTES_MAX, HDR_F_NEEDS_CSUM, HEADER_WORDS } from '../format.js';
import { type LinkHeader, TAG_BYTES } from './link-header.js';

/** The longest frame in segments of 500 bytes, a length of four bytes in front of each. A sender
 *  whose pieces are so small that they take more has other things in mind. */
const PIECES_BYTES_MAX = 128 << 10;
const LENGTH_BYTES = 4;
const WORD_BYTES = 4;

/** The virtio header for a frame whose front has become longer or shorter. */
export function shiftHeader(header: Uint32Array, shift: number, to: Uint32Array, at = 0): void {
  const [flags = 0, checksum = 0, tail = 0] = header;
  const segmented = (flags & 0xff00) !== 0;
  const needsChecksum = (flags & HDR_F_NEEDS_CSUM) !== 0;
  to[at] = segmented ? flags + (shift << 16) : flags;
  to[at + 1] = needsChecksum ? checksum + (shift << 16) : checksum;
  to[at + 2] = tail;
}

export class FrameCutter {
  readonly #whole = new Uint8Array(
    Math.ceil((FRAME_BYTES_MAX + TAG_BYTES) / WORD_BYTES) * WORD_BYTES,
  );
  readonly #words = new Uint32Array(this.#whole.buffer);
  readonly #header = new Uint32Array(HEADER_WORDS);
  readonly #pieces = new Uint8Array(PIECES_BYTES_MAX);
  readonly #view = new DataView(this.#pieces.buffer);

  /**
   * Hands out the pieces of a frame, each finished. False: its headers do not say what its sender
   * did.
   *
   * @param tagVlan of the tag it gets; undefined: none
   * @param readRest fills in what is behind the link header
   */
  cut(
    { header, link }: { readonly header: Uint32Array; readonly link: LinkHeader },
    tagVlan: number | undefined,
    restBytes: number,
    readRest: (to: Uint8Array) => void,
    take: (piece: Uint8Array) => void,
  ): boolean {
    const headBytes = link.write(this.#words, 0, tagVlan);
    const bytes = headBytes + restBytes;
    readRest(this.#whole.subarray(headBytes, bytes));
    shiftHeader(header, headBytes - link.bytes, this.#header);
    const room = this.#pieces.byteLength;
    const made = native.frameSegment(this.#header, this.#whole, 0, bytes, this.#pieces, 0, room);
    if (made === 0 || made > room) {
      return false;
    }
    for (let at = 0; at < made; ) {
      const from = at + LENGTH_BYTES;
      at = from + this.#view.getUint32(at);
      take(this.#pieces.subarray(from, at));
    }
    return true;
  }
}
