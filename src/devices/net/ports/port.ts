// The host's end of a queue pair, in the worker: where the driver's frames go and where frames for
// it come from. One file for each kind.

import type { HandlerContext } from '../../../core/device.js';
import type { Arena } from '../arena.js';
import type { CompletionList } from '../completion-list.js';
import type { NetCounters } from '../counters.js';
import type { Receiver } from '../receive-queue.js';

export interface Port {
  /** One frame of the driver's: `frameBytes` from `offset` on in the readable part of the chain,
   *  which the port completes, now or later. `header`: the three words, judged. */
  transmit(chain: number, offset: number, frameBytes: number, header: Uint32Array): void;
  /** Sends a finished frame of our own, at once; false: there is no room for it. */
  announce?(frame: Uint8Array): boolean;
  /** The frames of a batch have all been handed over. */
  flush?(): void;
  /** The driver may have posted chains, or can be given frames now. */
  pump(): void;
  /** The driver can be given frames, or no longer. */
  attach(attached: boolean): void;
  /** What waits of this transmit queue is to be given back. */
  drain?(queue: number): void;
  /** Offloads of frames to the driver (TUN_F_*). */
  setOffload?(offload: number): void;
  /** Completion of a command whose tag is the port's. */
  completion(chain: number, tag: number, result: number): void;
  /** One of the port's descriptors is ready. */
  event(token: number, hungUp: boolean): void;
  close(): void;
}

/** What every port is made with. */
export interface PortContext {
  readonly context: HandlerContext;
  readonly arena: Arena;
  readonly counters: NetCounters;
  readonly receive: Receiver;
  /** For frames that are done with at once; flushed behind each batch. */
  readonly done: CompletionList;
  /** First of the port's tags and of its tokens: PORT_NUMBERS of each. */
  readonly firstNumber: number;
  /** Largest ring of the device: head indices are smaller. */
  readonly queueSize: number;
}

/** Tags and tokens of one port. */
export const PORT_NUMBERS = 8;
