// The switch itself: where a frame goes, and the copies that bring it there. Decided from the front
// of the frame; the rest is moved natively, once for each receiver.

import type { HandlerContext } from '../../../core/device.js';
import type { Batch } from '../../../core/virtqueue/batch.js';
import { FLAG_COMPLETE, NO_CHAIN } from '../../../core/virtqueue/operations.js';
import { Arena } from '../arena.js';
import { captureTag } from '../capture/shared-capture.js';
import type { DropReason } from '../counters.js';
import { HEADER_BYTES, HEADER_WORDS } from '../format.js';
import { receiveQueue } from '../queues.js';
import { completeChecksum } from './checksum.js';
import { CopyScratch } from './copy-scratch.js';
import { FlowTable, LEASE_S } from './flow-table.js';
import { FrameCutter, shiftHeader } from './frame-cutter.js';
import { type LinkHeader, TAG_BYTES } from './link-header.js';
import { MacTable } from './mac-table.js';
import { EGRESS_NONE, EGRESS_TAGGED } from './port-vlans.js';
import { QUEUES_PER_PORT, type SwitchPort } from './switch-port.js';
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
  /** Of a chain: the request it came as. */
  readonly batch?: Batch | undefined;
  readonly index?: number;
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
  readonly #flows: FlowTable;
  /** What the flows were decided by. */
  #moves = 0;
  readonly #cutter = new FrameCutter();
  /** Behind the last of the ports. */
  uplink: Uplink | undefined;
  #nowS = 0;

  constructor(options: FabricOptions) {
    this.#options = options;
    this.#table = new MacTable(options.ports.length, options.ageS);
    this.#scratch = new CopyScratch(options.arena, options.context.commands);
    this.#flows = new FlowTable(options.arena, options.ports.length);
  }

  static arenaBytes(ports: number): number {
    return CopyScratch.arenaBytes + Arena.rounded(FlowTable.arenaBytes(ports));
  }

  /** A batch begins. */
  begin(): void {
    this.#nowS = performance.now() / 1000;
    this.#scratch.begin();
  }

  /** Where in the arena native code finds what was decided about a port's frames. */
  flowsOf(port: SwitchPort): number {
    return this.#flows.offsetOf(port.index);
  }

  /** A port takes or gives other frames than it did. */
  changed(): void {
    this.#flows.clear();
  }

  /** Addresses behind a port are forgotten: another guest may come. */
  forget(port: SwitchPort): void {
    this.#table.forget(port.index);
    this.#flows.clear();
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
    this.#learn(from, link, vlan);
    const known = link.toGroup ? -1 : this.#table.lookup(link.toLow, link.toHigh, vlan, this.#nowS);
    if (known < 0) {
      for (const to of this.#options.ports) {
        this.#deliver(from, to, frame, vlan, 0);
      }
    } else if (this.#deliver(from, this.#port(known), frame, vlan, this.#untilS(link, vlan))) {
      return;
    }
    this.#giveBack(chain);
  }

  #learn(from: SwitchPort, link: LinkHeader, vlan: number): void {
    this.#table.learn(link.fromLow, link.fromHigh, vlan, from.index, this.#nowS);
    if (this.#table.moves !== this.#moves) {
      this.#moves = this.#table.moves;
      this.#flows.clear();
    }
  }

  /** How long frames to an address that was found may go there unseen. */
  #untilS(link: LinkHeader, vlan: number): number {
    const heardS = this.#table.heardS(link.toLow, link.toHigh, vlan);
    return Math.min(this.#nowS + LEASE_S, heardS + this.#options.ageS);
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

  /** `untilS`: how long it is the only receiver of such frames; 0: it is one of several. True: the
   *  sender's chain goes back with the copy. */
  #deliver(
    from: SwitchPort,
    to: SwitchPort,
    frame: SentFrame,
    vlan: number,
    untilS: number,
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
    const reason = this.#copy(from, to, frame, tagVlan, untilS);
    if (reason !== undefined) {
      to.droppedReceived(reason);
    }
    return reason === undefined && untilS !== 0;
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
    from: SwitchPort,
    to: SwitchPort,
    frame: SentFrame,
    tagVlan: number | undefined,
    untilS: number,
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
    const behind = HEADER_BYTES + link.bytes;
    if (summed) {
      const rewritten = this.#scratch.bytes.subarray(prefix, prefix + prefixBytes);
      context.copyOut(chain, behind, rewritten.subarray(HEADER_BYTES + headBytes), rest);
      this.#finishChecksum(rewritten, frame.header, shift);
    }
    this.#show(to, prefix, prefixBytes, frame, summed ? 0 : rest);
    const inArena = this.#scratch.inArena(prefix);
    const copied = summed ? 0 : rest;
    const flags = untilS === 0 ? 0 : FLAG_COMPLETE;
    context.commands.copyFrame(chain, flags, behind, copied, inArena, prefixBytes, targets, count);
    to.received(bytes);
    if (untilS !== 0 && count === 1 && !summed && !this.#options.captures) {
      this.#openFlow(from, to, frame, prefix, prefixBytes, untilS);
    }
    return undefined;
  }

  /** The next frames with this one's headers need no decision. */
  #openFlow(
    from: SwitchPort,
    to: SwitchPort,
    { batch, index, link, header, bytes }: SentFrame,
    prefix: number,
    prefixBytes: number,
    untilS: number,
  ): void {
    if (batch === undefined || index === undefined) {
      return;
    }
    // Offsets in a virtio header were judged for a frame of this length: longer ones have them too.
    const plain = header[0] === 0;
    this.#flows.open(
      from.index,
      batch,
      index,
      link.tagged,
      receiveQueue(0) + to.index * QUEUES_PER_PORT,
      this.#scratch.words.subarray(
        prefix / WORD_BYTES,
        Math.ceil((prefix + prefixBytes) / WORD_BYTES),
      ),
      prefixBytes,
      HEADER_BYTES + link.bytes,
      HEADER_BYTES + (plain ? link.bytes : bytes),
      untilS,
    );
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
