// The switch itself: where a frame goes, and the copies that bring it there. Decided from the front
// of the frame; the rest is moved natively, once for each receiver.

import type { HandlerContext } from '../../../core/device.js';
import { FLAG_COMPLETE, NO_CHAIN } from '../../../core/virtqueue/operations.js';
import type { Arena } from '../arena.js';
import { captureTag } from '../capture/shared-capture.js';
import type { DropReason } from '../counters.js';
import { HEADER_BYTES, HEADER_WORDS } from '../format.js';
import { completeChecksum } from './checksum.js';
import { CopyScratch } from './copy-scratch.js';
import { FrameCutter, shiftHeader } from './frame-cutter.js';
import { type LinkHeader, TAG_BYTES } from './link-header.js';
import { MacTable } from './mac-table.js';
import { EGRESS_NONE, EGRESS_TAGGED } from './port-vlans.js';
import type { SwitchPort } from './switch-port.js';
import type { Uplink } from './uplink.js';

const NUM_BUFFERS_WORD = 2;
const NOTHING = new Uint8Array(0);
const WORD_BYTES = 4;

export interface FabricOptions {
  readonly context: HandlerContext;
  readonly arena: Arena;
  readonly ports: readonly SwitchPort[];
  readonly ageS: number;
  readonly captures: boolean;
}

/** A frame of a guest's, or from outside. */
export interface SentFrame {
  /** NO_CHAIN: it is in `body`, private memory. */
  readonly chain: number;
  readonly body?: Uint8Array;
  /** Without the virtio header. */
  readonly bytes: number;
  readonly link: LinkHeader;
  /** The virtio header, judged (TransmitHeader). */
  readonly header: Uint32Array;
}

export class Fabric {
  readonly #options: FabricOptions;
  readonly #table: MacTable;
  readonly #scratch: CopyScratch;
  readonly #cutter = new FrameCutter();
  /** Behind the last of the ports. */
  uplink: Uplink | undefined;
  #nowS = 0;

  constructor(options: FabricOptions) {
    this.#options = options;
    this.#table = new MacTable(options.ports.length, options.ageS);
    this.#scratch = new CopyScratch(options.arena, options.context.commands);
  }

  static readonly arenaBytes = CopyScratch.arenaBytes;

  /** A batch begins. */
  begin(): void {
    this.#nowS = performance.now() / 1000;
    this.#scratch.begin();
  }

  /** Addresses behind a port are forgotten: another guest may come. */
  forget(port: SwitchPort): void {
    this.#table.forget(port.index);
  }

  /** Brings a frame where it belongs, and gives its chain back. */
  forward(from: SwitchPort, frame: SentFrame): void {
    const { link, chain, bytes, body = NOTHING } = frame;
    const { captures, context } = this.#options;
    if (captures) {
      context.capture(captureTag(from.index, false), body, chain, HEADER_BYTES, bytes);
    }
    const vlan = from.vlans.ingress(link.vlan);
    const reason = this.#refusal(from, frame, vlan);
    if (reason !== undefined) {
      from.droppedSent(reason);
      this.#giveBack(chain);
      return;
    }
    from.sent(bytes);
    this.#table.learn(link.fromLow, link.fromHigh, vlan, from.index, this.#nowS);
    const known = link.toGroup ? -1 : this.#table.lookup(link.toLow, link.toHigh, vlan, this.#nowS);
    if (known < 0) {
      for (const to of this.#options.ports) {
        this.#deliver(from, to, frame, vlan, 0);
      }
    } else if (this.#deliver(from, this.#port(known), frame, vlan, FLAG_COMPLETE)) {
      return;
    }
    this.#giveBack(chain);
  }

  #giveBack(chain: number): void {
    if (chain !== NO_CHAIN) {
      this.#options.context.commands.complete(chain, 0);
    }
  }

  /** Why a frame goes nowhere; undefined: it does. */
  #refusal(from: SwitchPort, { link, bytes }: SentFrame, vlan: number): DropReason | undefined {
    if (bytes < link.bytes) {
      return 'length';
    }
    if (vlan < 0) {
      return 'vlan';
    }
    if (!link.fromStation) {
      return 'source';
    }
    if (link.reserved) {
      return 'filtered';
    }
    return link.toGroup && !from.storm.take(this.#nowS) ? 'storm' : undefined;
  }

  /** False: this port gets nothing of it. */
  #deliver(
    from: SwitchPort,
    to: SwitchPort,
    frame: SentFrame,
    vlan: number,
    flags: number,
  ): boolean {
    const egress = to.vlans.egress(vlan);
    const apart = from === to || (from.isolated && to.isolated);
    if (apart || egress === EGRESS_NONE || !to.running) {
      return false;
    }
    const tagVlan = egress === EGRESS_TAGGED ? vlan : undefined;
    if (to.outside || frame.chain === NO_CHAIN || !to.takes(frame.header)) {
      this.#cut(to, frame, tagVlan);
      return false;
    }
    const reason = this.#copy(to, frame, tagVlan, flags);
    if (reason !== undefined) {
      to.droppedReceived(reason);
    }
    return reason === undefined && flags !== 0;
  }

  /** Gives the receiver in pieces what it would have to cut itself; what leaves is finished, and
   *  what comes is whole. */
  #cut(to: SwitchPort, frame: SentFrame, tagVlan: number | undefined): void {
    const { link, chain, bytes, body } = frame;
    const readRest = (rest: Uint8Array) => {
      if (body !== undefined) {
        rest.set(body.subarray(link.bytes));
        return;
      }
      this.#options.context.copyOut(chain, HEADER_BYTES + link.bytes, rest, rest.byteLength);
    };
    const take = (piece: Uint8Array) => {
      const reason = to.outside ? this.#leave(to, piece) : this.#give(to, piece);
      if (reason !== undefined) {
        to.droppedReceived(reason);
      }
    };
    if (!this.#cutter.cut(frame, tagVlan, bytes - link.bytes, readRest, take)) {
      to.droppedReceived('offload');
    }
  }

  #leave(to: SwitchPort, piece: Uint8Array): undefined {
    const { context, captures } = this.#options;
    if (captures) {
      context.capture(captureTag(to.index, true), piece, NO_CHAIN, 0, 0);
    }
    this.uplink?.send(piece);
  }

  /** Orders the copy of a finished frame; why not, if it can't be. */
  #give(to: SwitchPort, piece: Uint8Array): DropReason | undefined {
    const total = HEADER_BYTES + piece.byteLength;
    const count = to.chains.chainsFor(total);
    if (count === 0) {
      return 'room';
    }
    const prefix = this.#scratch.take(total);
    const list = count > 1 ? this.#scratch.take(count * WORD_BYTES) : 0;
    if (prefix === undefined || list === undefined) {
      return 'busy';
    }
    const { words, bytes } = this.#scratch;
    words.fill(0, prefix / WORD_BYTES, prefix / WORD_BYTES + HEADER_WORDS);
    words[prefix / WORD_BYTES + NUM_BUFFERS_WORD] = count << 16;
    bytes.set(piece, prefix + HEADER_BYTES);
    const targets = this.#takeChains(to, count, list);
    const inArena = this.#scratch.inArena(prefix);
    const { context, captures } = this.#options;
    if (captures) {
      context.capture(captureTag(to.index, true), piece, NO_CHAIN, 0, 0);
    }
    context.commands.copyFrame(NO_CHAIN, 0, 0, 0, inArena, total, targets, count);
    to.received(piece.byteLength);
    return undefined;
  }

  /** Orders the copy; why not, if it can't be. */
  #copy(
    to: SwitchPort,
    frame: SentFrame,
    tagVlan: number | undefined,
    flags: number,
  ): DropReason | undefined {
    const { link, chain } = frame;
    const shift = (tagVlan === undefined ? 0 : TAG_BYTES) - (link.tagged ? TAG_BYTES : 0);
    const bytes = frame.bytes + shift;
    const total = HEADER_BYTES + bytes;
    const count = to.chains.chainsFor(total);
    if (count === 0) {
      return 'room';
    }
    const summed = to.needsChecksum(frame.header);
    const rest = frame.bytes - link.bytes;
    const headBytes = link.bytes + shift;
    const prefixBytes = HEADER_BYTES + headBytes + (summed ? rest : 0);
    const prefix = this.#scratch.take(prefixBytes);
    const list = count > 1 ? this.#scratch.take(count * WORD_BYTES) : 0;
    if (prefix === undefined || list === undefined) {
      return 'busy';
    }
    this.#writeHeaders(prefix, frame, shift, count);
    link.write(this.#scratch.words, prefix / WORD_BYTES + HEADER_WORDS, tagVlan);
    const targets = this.#takeChains(to, count, list);
    const { context } = this.#options;
    const from = HEADER_BYTES + link.bytes;
    if (summed) {
      const rewritten = this.#scratch.bytes.subarray(prefix, prefix + prefixBytes);
      context.copyOut(chain, from, rewritten.subarray(HEADER_BYTES + headBytes), rest);
      this.#finishChecksum(rewritten, frame.header, shift);
    }
    this.#show(to, prefix, prefixBytes, frame, summed ? 0 : rest);
    const inArena = this.#scratch.inArena(prefix);
    const copied = summed ? 0 : rest;
    context.commands.copyFrame(chain, flags, from, copied, inArena, prefixBytes, targets, count);
    to.received(bytes);
    return undefined;
  }

  /** The virtio header for a frame whose front has become longer or shorter. */
  #writeHeaders(at: number, { header }: SentFrame, shift: number, buffers: number): void {
    const { words } = this.#scratch;
    const to = at / WORD_BYTES;
    shiftHeader(header, shift, words, to);
    words[to + NUM_BUFFERS_WORD] = ((header[NUM_BUFFERS_WORD] ?? 0) & 0xffff) | (buffers << 16);
  }

  #finishChecksum(rewritten: Uint8Array, header: Uint32Array, shift: number): void {
    const start = ((header[1] as number) >>> 16) + shift;
    completeChecksum(rewritten.subarray(HEADER_BYTES), start, (header[2] as number) & 0xffff);
    rewritten.fill(0, 0, HEADER_BYTES - 2);
  }

  /** What a command names as its targets. */
  #takeChains(to: SwitchPort, count: number, list: number): number {
    if (count === 1) {
      return to.chains.take();
    }
    for (let i = 0; i < count; i++) {
      this.#scratch.words[list / WORD_BYTES + i] = to.chains.take();
    }
    return this.#scratch.inArena(list);
  }

  #show(to: SwitchPort, at: number, bytes: number, frame: SentFrame, rest: number): void {
    if (this.#options.captures) {
      const head = this.#scratch.bytes.subarray(at + HEADER_BYTES, at + bytes);
      const from = HEADER_BYTES + frame.link.bytes;
      const chain = rest === 0 ? NO_CHAIN : frame.chain;
      this.#options.context.capture(captureTag(to.index, true), head, chain, from, rest);
    }
  }

  #port(index: number): SwitchPort {
    return this.#options.ports[index] as SwitchPort;
  }
}
