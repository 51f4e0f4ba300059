// UNIX datagrams, one frame each, as QEMU's `-netdev dgram` sends them. There is no connection: a
// frame nobody takes is lost, as on a wire.

import { queueOfChain } from '../../../core/virtqueue/batch.js';
import { FLAG_COMPLETE, FLAG_SOCKET, OP_SEND } from '../../../core/virtqueue/operations.js';
import { native } from '../../../native/index.js';
import { FrameReader } from './frame-reader.js';
import type { Port, PortContext } from './port.js';
import { RetryTimer } from './retry-timer.js';
import { writeFrame } from './write-frame.js';

export interface DatagramOptions {
  /** Bound; the control half's. */
  readonly fd: number;
  readonly remote: string;
}

const TAG_SEND = 0;
const TAG_RECEIVE = 1;
const TOKEN_SOCKET = 0;
const TOKEN_TIMER = 1;

const EAGAIN = 11;

export class DatagramPort implements Port {
  readonly #options: PortContext;
  readonly #remote: string;
  readonly #fd: number;
  readonly #reader: FrameReader;
  readonly #retry: RetryTimer;

  constructor(options: PortContext, { fd, remote }: DatagramOptions) {
    this.#options = options;
    this.#remote = remote;
    this.#fd = fd;
    const { context, receive, firstNumber } = options;
    this.#retry = new RetryTimer(context, firstNumber + TOKEN_TIMER);
    this.#reader = new FrameReader({
      context,
      receive,
      flags: FLAG_SOCKET,
      tag: firstNumber + TAG_RECEIVE,
      token: firstNumber + TOKEN_SOCKET,
      failed: () => this.#connect(),
    });
    this.#connect();
  }

  transmit(chain: number, offset: number, frameBytes: number): void {
    const { context, counters, firstNumber } = this.#options;
    const tag = firstNumber + TAG_SEND;
    const flags = FLAG_SOCKET | FLAG_COMPLETE;
    context.commands.move(OP_SEND, chain, flags, this.#fd, frameBytes, offset, 0, tag);
    counters.moved(queueOfChain(chain), 1, frameBytes);
  }

  announce(frame: Uint8Array): boolean {
    return writeFrame(this.#fd, frame);
  }

  pump(): void {
    this.#reader.pump();
  }

  attach(attached: boolean): void {
    if (attached) {
      this.#reader.open(this.#fd);
    } else {
      this.#reader.close();
    }
  }

  completion(chain: number, tag: number, result: number): void {
    if (tag === TAG_RECEIVE) {
      this.#reader.completion(result);
      return;
    }
    const { context, counters } = this.#options;
    context.commands.complete(chain, 0);
    counters.moved(queueOfChain(chain), -1, 0);
    counters.dropped(queueOfChain(chain), result === -EAGAIN ? 'busy' : 'port');
    if (result !== -EAGAIN) {
      this.#retry.start();
    }
  }

  event(token: number): void {
    if (token === TOKEN_TIMER) {
      this.#connect();
    } else {
      this.#reader.event();
    }
  }

  close(): void {
    this.#reader.close();
    this.#retry.stop();
  }

  /** The peer may not be there yet, or be another one by now. */
  #connect(): void {
    if (native.datagramConnect(this.#fd, this.#remote) < 0) {
      this.#retry.start();
    } else {
      this.#retry.stop();
    }
  }
}
