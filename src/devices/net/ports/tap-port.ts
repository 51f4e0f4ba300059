// A tap, or one queue of a multi-queue tap: an interface of the host's. Headers go through as they
// are, so offloads are the host kernel's work.

import { existsSync } from 'node:fs';
import { queueOfChain } from '../../../core/virtqueue/batch.js';
import { native } from '../../../native/index.js';
import { Arena } from '../arena.js';
import { HEADER_BYTES, HEADER_WORDS, MAC_BYTES } from '../format.js';
import { FrameReader } from './frame-reader.js';
import type { Port, PortContext } from './port.js';
import { RetryTimer } from './retry-timer.js';
import { writeFrame } from './write-frame.js';

export interface TapOptions {
  /** The control half's. */
  readonly fd: number;
  /** Of a tap we opened by name: one that was deleted is made again. */
  readonly name?: string | undefined;
  /** One that is made again outlives us as the first did. */
  readonly persistent: boolean;
  /** A queue of several: detached while the driver can't be given frames. */
  readonly multiQueue: boolean;
}

/** A header waits for its command in the slot of its chain's head index: no other chain has it as
 *  long as this one is in flight, however many commands wait. */
const HEADER_SLOT_BYTES = 16;
const HEAD_MASK = 0xffff;

const TAG_SEND = 0;
const TAG_RECEIVE = 1;
const TOKEN_TAP = 0;
const TOKEN_TIMER = 1;

/** Every network interface of the host, by its name. */
const INTERFACES = '/sys/class/net';

/** What a descriptor says whose interface is gone. */
const EBADFD = 77;

export class TapPort implements Port {
  readonly #options: PortContext;
  readonly #tap: TapOptions;
  readonly #reader: FrameReader;
  readonly #retry: RetryTimer;
  readonly #slots: Uint32Array;
  readonly #slotsOffset: number;
  /** Of the interface, as we found it. */
  readonly #address = new Uint8Array(MAC_BYTES);
  #fd: number;
  #attached = false;
  #offload = 0;

  constructor(options: PortContext, tap: TapOptions) {
    this.#options = options;
    this.#tap = tap;
    this.#fd = native.fdDuplicate(tap.fd);
    const slotsBytes = TapPort.arenaBytes(options.queueSize);
    this.#slotsOffset = options.arena.allocate(slotsBytes);
    this.#slots = options.arena.words(this.#slotsOffset, slotsBytes / 4);
    native.tapAddress(this.#fd, this.#address);
    this.#retry = new RetryTimer(options.context, options.firstNumber + TOKEN_TIMER);
    this.#reader = new FrameReader({
      context: options.context,
      receive: options.receive,
      flags: 0,
      tag: options.firstNumber + TAG_RECEIVE,
      token: options.firstNumber + TOKEN_TAP,
      failed: (result) => this.#failed(result),
    });
  }

  static arenaBytes(queueSize: number): number {
    return Arena.rounded(queueSize * HEADER_SLOT_BYTES);
  }

  transmit(chain: number, offset: number, frameBytes: number, header: Uint32Array): void {
    const slot = chain & HEAD_MASK;
    const at = (slot * HEADER_SLOT_BYTES) / 4;
    for (let i = 0; i < HEADER_WORDS; i++) {
      this.#slots[at + i] = header[i] as number;
    }
    const { context, counters, firstNumber } = this.#options;
    context.commands.sendPrefixed(
      chain,
      0,
      this.#fd,
      this.#slotsOffset + slot * HEADER_SLOT_BYTES,
      HEADER_BYTES,
      offset,
      frameBytes,
      firstNumber + TAG_SEND,
    );
    counters.moved(queueOfChain(chain), 1, frameBytes);
  }

  announce(frame: Uint8Array): boolean {
    return writeFrame(this.#fd, new Uint8Array(HEADER_BYTES), frame);
  }

  pump(): void {
    this.#reader.pump();
  }

  attach(attached: boolean): void {
    if (attached === this.#attached) {
      return;
    }
    this.#attached = attached;
    if (!attached) {
      this.#reader.close();
    }
    if (this.#tap.multiQueue) {
      native.tapSetQueue(this.#fd, attached);
    }
    if (attached) {
      native.tapSetOffload(this.#fd, this.#offload);
      this.#read();
    }
  }

  setOffload(offload: number): void {
    this.#offload = offload;
    if (this.#attached) {
      native.tapSetOffload(this.#fd, offload);
    }
  }

  completion(chain: number, tag: number, result: number): void {
    if (tag === TAG_RECEIVE) {
      this.#reader.completion(result);
      return;
    }
    // Counted as moved when it was ordered; only failures come here.
    const { context, counters } = this.#options;
    context.commands.complete(chain, 0);
    counters.moved(queueOfChain(chain), -1, 0);
    counters.dropped(queueOfChain(chain), 'port');
    this.#failed(result);
  }

  event(token: number, hungUp: boolean): void {
    if (token === TOKEN_TIMER) {
      this.#reopen();
    } else if (hungUp) {
      this.#lost();
    } else {
      this.#reader.event();
    }
  }

  close(): void {
    this.#reader.close();
    native.fdClose(this.#fd);
    this.#retry.stop();
  }

  #read(): void {
    try {
      this.#reader.open(this.#fd);
    } catch {
      this.#lost();
    }
  }

  #failed(result: number): void {
    if (result === -EBADFD) {
      this.#lost();
    }
  }

  /** The interface was deleted (NT-030). One we know by name is made again as soon as that works;
   *  the driver notices a pause. */
  #lost(): void {
    this.#reader.close();
    if (this.#tap.name !== undefined) {
      this.#retry.start();
    }
  }

  #reopen(): void {
    const { name, multiQueue, persistent } = this.#tap;
    const found = existsSync(`${INTERFACES}/${name}`);
    const fd = native.tapOpen(name as string, multiQueue, HEADER_BYTES);
    if (fd < 0) {
      return;
    }
    if (!found) {
      // With another address the guest would go on sending to the former until its neighbour table
      // gives up: 40 s of silence with Linux.
      native.tapSetAddress(fd, this.#address);
    }
    if (persistent) {
      native.tapSetPersistent(fd, true);
    }
    this.#retry.stop();
    native.fdClose(this.#fd);
    this.#fd = fd;
    if (multiQueue && !this.#attached) {
      native.tapSetQueue(fd, false);
    } else if (this.#attached) {
      native.tapSetOffload(fd, this.#offload);
      this.#read();
    }
  }
}
