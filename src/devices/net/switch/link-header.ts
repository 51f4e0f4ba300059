// The front of an Ethernet frame, read out of the private copy a batch has of it: what was judged
// is what goes on (NT-011).

import type { Batch } from '../../../core/virtqueue/batch.js';
import { FRAME_BYTES_MIN, HEADER_BYTES, HEADER_WORDS } from '../format.js';

export const TAG_BYTES = 4;
/** What a batch must show of each request. */
export const SHOWN_BYTES = HEADER_BYTES + FRAME_BYTES_MIN + TAG_BYTES;

/** 0x8100 as it lies in memory, read as little-endian. */
const TPID = 0x0081;
const VLAN_MASK = 0x0fff;

/** 01:80:c2:00:00:00 to 0f: for the bridge itself, never forwarded (802.1D table 7-10). */
const RESERVED_LOW = 0x00c28001;
const RESERVED_HIGH_MASK = 0xf0ff;

export class LinkHeader {
  /** Addresses: first four bytes and last two, as little-endian words. */
  toLow = 0;
  toHigh = 0;
  fromLow = 0;
  fromHigh = 0;
  /** The type behind the tag, if there is one, as it lies in memory. */
  type = 0;
  tagged = false;
  /** Priority and VLAN. */
  tag = 0;

  /** Of a frame in private memory. */
  readFrame(frame: Uint8Array): void {
    const words = new Uint32Array(Math.ceil(SHOWN_BYTES / 4));
    new Uint8Array(words.buffer).set(frame.subarray(0, SHOWN_BYTES - HEADER_BYTES), HEADER_BYTES);
    this.read({ headerWord: (_, word) => words[word] as number }, 0);
  }

  read(batch: Pick<Batch, 'headerWord'>, index: number): void {
    const second = batch.headerWord(index, HEADER_WORDS + 1);
    const third = batch.headerWord(index, HEADER_WORDS + 2);
    const fourth = batch.headerWord(index, HEADER_WORDS + 3);
    this.toLow = batch.headerWord(index, HEADER_WORDS);
    this.toHigh = second & 0xffff;
    this.fromLow = ((second >>> 16) | (third << 16)) >>> 0;
    this.fromHigh = third >>> 16;
    this.tagged = (fourth & 0xffff) === TPID;
    this.tag = this.tagged ? ((fourth >>> 8) & 0xff00) | (fourth >>> 24) : 0;
    this.type = (this.tagged ? batch.headerWord(index, HEADER_WORDS + 4) : fourth) & 0xffff;
  }

  get bytes(): number {
    return FRAME_BYTES_MIN + (this.tagged ? TAG_BYTES : 0);
  }

  /** 0: none. */
  get vlan(): number {
    return this.tag & VLAN_MASK;
  }

  get toGroup(): boolean {
    return (this.toLow & 1) === 1;
  }

  get reserved(): boolean {
    return this.toLow === RESERVED_LOW && (this.toHigh & RESERVED_HIGH_MASK) === 0;
  }

  /** Nobody sends from a group's address, nor from none. */
  get fromStation(): boolean {
    return (this.fromLow & 1) === 0 && (this.fromLow | this.fromHigh) !== 0;
  }

  /** Writes the header with a tag of this VLAN, or none, and the priority it had; its bytes. */
  write(to: Uint32Array, at: number, tagVlan: number | undefined): number {
    to[at] = this.toLow;
    to[at + 1] = this.toHigh | (this.fromLow << 16);
    to[at + 2] = (this.fromLow >>> 16) | (this.fromHigh << 16);
    if (tagVlan === undefined) {
      to[at + 3] = this.type;
      return FRAME_BYTES_MIN;
    }
    const tag = (this.tag & ~VLAN_MASK) | tagVlan;
    to[at + 3] = TPID | ((tag & 0xff00) << 8) | ((tag & 0xff) << 24);
    to[at + 4] = this.type;
    return FRAME_BYTES_MIN + TAG_BYTES;
  }
}
