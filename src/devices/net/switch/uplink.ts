// The switch's own port to the outside: a tap or a stream. What goes there is finished, as on a
// wire; what comes from there is read into private memory, many frames in a turn.

import type { HandlerContext } from '../../../core/device.js';
import {
  FLAG_ARENA,
  FLAG_NOTIFY,
  NO_CHAIN,
  OP_RECEIVE,
} from '../../../core/virtqueue/operations.js';
import { Arena } from '../arena.js';
import { CompletionList } from '../completion-list.js';
import type { DropReason, NetCounters } from '../counters.js';
import { FRAME_BYTES_MAX, FRAME_BYTES_MIN, HEADER_BYTES } from '../format.js';
import { createPort, type HostEnd, portArenaBytes } from '../host-end.js';
import type { Port } from '../ports/port.js';
import { receiveQueue, transmitQueue } from '../queues.js';
import type { Receiver } from '../receive-queue.js';

/** Frames read in a turn: a flood from outside holds up the guests for so long (NT-016). */
const FRAMES_PER_TURN = 16;
const FRAME_ROOM_BYTES = Arena.rounded(HEADER_BYTES + FRAME_BYTES_MAX);
/** Of a ring that the uplink has not: it gets no chains. */
const QUEUE_SIZE = 1;

export interface UplinkOptions {
  readonly context: HandlerContext;
  readonly arena: Arena;
  readonly host: HostEnd;
  readonly counters: NetCounters;
  /** Takes a frame from outside, private memory until it returns. */
  readonly forward: (frame: Uint8Array) => void;
}

export class Uplink {
  readonly #port: Port;
  readonly #input: UplinkInput;
  readonly #counters: NetCounters;

  constructor({ context, arena, host, counters, forward }: UplinkOptions) {
    this.#counters = counters;
    this.#input = new UplinkInput(context, arena, counters, forward);
    this.#port = createPort(host, 0, {
      ...{ context, arena, counters, receive: this.#input, firstNumber: 0 },
      ...{ done: new CompletionList(context, arena, QUEUE_SIZE), queueSize: QUEUE_SIZE },
    });
    this.#port.attach(true);
  }

  static arenaBytes(host: HostEnd): number {
    const frames = FRAMES_PER_TURN * FRAME_ROOM_BYTES;
    return frames + portArenaBytes(host, QUEUE_SIZE) + CompletionList.arenaBytes(QUEUE_SIZE);
  }

  /** Sends a finished frame; as a wire may, the uplink loses what it has no room for. */
  send(frame: Uint8Array): void {
    if (this.#port.announce?.(frame)) {
      this.#counters.moved(receiveQueue(0), 1, frame.byteLength);
    } else {
      this.#counters.dropped(receiveQueue(0), 'busy');
    }
  }

  completion(chain: number, tag: number, result: number): void {
    const ended = this.#input.arrived(tag, result);
    if (ended !== undefined) {
      this.#port.completion(chain, tag, ended);
    }
  }

  event(token: number, hungUp: boolean): void {
    this.#port.event(token, hungUp);
  }

  close(): void {
    this.#port.close();
  }
}

/** In place of a driver's receive queue. */
class UplinkInput implements Receiver {
  /** A switch takes everything; guests without room lose it. */
  readonly ready = true;
  readonly #context: HandlerContext;
  readonly #counters: NetCounters;
  readonly #forward: (frame: Uint8Array) => void;
  readonly #start: number;
  readonly #bytes: Uint8Array;
  /** Of the orders under way: how many have not come back, their tag, and how they ended. */
  #left = 0;
  #tag = -1;
  #ended = 0;

  constructor(
    context: HandlerContext,
    arena: Arena,
    counters: NetCounters,
    forward: (frame: Uint8Array) => void,
  ) {
    this.#context = context;
    this.#counters = counters;
    this.#forward = forward;
    const bytes = FRAMES_PER_TURN * FRAME_ROOM_BYTES;
    this.#start = arena.allocate(bytes);
    this.#bytes = arena.bytes.subarray(this.#start, this.#start + bytes);
  }

  receive(fd: number, flags: number, tag: number): void {
    const { commands } = this.#context;
    this.#tag = tag;
    this.#left = FRAMES_PER_TURN;
    this.#ended = 0;
    const how = flags | FLAG_ARENA | FLAG_NOTIFY;
    for (let i = 0; i < FRAMES_PER_TURN; i++) {
      const place = this.#start + i * FRAME_ROOM_BYTES;
      commands.move(OP_RECEIVE, NO_CHAIN, how, fd, FRAME_ROOM_BYTES, place, 0, tag);
    }
  }

  /** An order has come back, in their order; how all of them ended once it was the last. Other
   *  completions pass through. */
  arrived(tag: number, result: number): number | undefined {
    if (this.#left === 0 || tag !== this.#tag) {
      return result;
    }
    const at = (FRAMES_PER_TURN - this.#left) * FRAME_ROOM_BYTES;
    this.#left--;
    if (result < 0) {
      this.#ended = result;
    } else {
      this.deliver(this.#bytes.subarray(at + HEADER_BYTES, at + Math.max(HEADER_BYTES, result)));
    }
    return this.#left === 0 ? this.#ended : undefined;
  }

  received(): boolean {
    return true;
  }

  deliver(frame: Uint8Array): boolean {
    if (frame.byteLength < FRAME_BYTES_MIN || frame.byteLength > FRAME_BYTES_MAX) {
      this.dropped('length');
    } else {
      this.#forward(frame);
    }
    return true;
  }

  dropped(reason: DropReason): void {
    this.#counters.dropped(transmitQueue(0), reason);
  }
}
