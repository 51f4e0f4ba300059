// A stream socket of frames, each behind its length in four bytes, big-endian: what passt and
// QEMU's `-netdev stream` speak. Frames are gathered in private memory, so that one system call
// carries many and a short one can't tear a frame.

import { queueOfChain } from '../../../core/virtqueue/batch.js';
import {
  FLAG_ARENA,
  FLAG_NOTIFY,
  FLAG_SOCKET,
  NO_CHAIN,
  OP_RECEIVE,
  OP_SEND,
} from '../../../core/virtqueue/operations.js';
import { native } from '../../../native/index.js';
import type { DropReason } from '../counters.js';
import { FRAME_BYTES_MAX } from '../format.js';
import { PORT_NUMBERS, type Port, type PortContext } from './port.js';
import { RetryTimer } from './retry-timer.js';
import { StreamInput } from './stream-input.js';
import { STREAM_BUFFER_BYTES, StreamOutput } from './stream-output.js';

export interface StreamOptions {
  /** Connected to, again and again; with listenFd only for the log. */
  readonly path: string;
  /** Listens; the control half's. */
  readonly listenFd?: number | undefined;
}

const TAG_SEND = 0;
const TAG_RECEIVE = 1;
const TOKEN_TIMER = 0;
const TOKEN_LISTEN = 1;
/** Connections take turns with these: an event of the last one must not be taken for the next's. */
const TOKEN_SOCKETS = 2;
const SOCKET_TOKENS = PORT_NUMBERS - TOKEN_SOCKETS;

const EAGAIN = 11;

interface SentFrame {
  readonly chain: number;
  readonly offset: number;
  readonly frameBytes: number;
  readonly header: Uint32Array;
}

/** A private copy of a frame that is to be cut; of one stream at a time. */
const whole = new Uint8Array(FRAME_BYTES_MAX);

export class StreamPort implements Port {
  readonly #options: PortContext;
  readonly #stream: StreamOptions;
  readonly #retry: RetryTimer;
  readonly #output: StreamOutput;
  readonly #input: StreamInput;
  /** Undefined: nobody is there. */
  #fd: number | undefined;
  /** Commands under way; a socket is closed after them only. */
  #sending = false;
  #receiving = false;
  #closing = false;
  /** The socket may take, or have, something. */
  #writable = false;
  #readable = false;
  #heard = false;
  #socketToken = TOKEN_SOCKETS;
  /** Frames of the driver's that found no room, with their lengths. */
  #stalled: SentFrame[] = [];

  constructor(options: PortContext, stream: StreamOptions) {
    this.#options = options;
    this.#stream = stream;
    const { arena, context, firstNumber } = options;
    this.#retry = new RetryTimer(context, firstNumber + TOKEN_TIMER);
    this.#output = new StreamOutput(arena);
    this.#input = new StreamInput(arena, options.receive);
    if (stream.listenFd === undefined) {
      this.#connect();
    } else {
      context.watch(stream.listenFd, firstNumber + TOKEN_LISTEN);
      this.#accept();
    }
  }

  static readonly arenaBytes = 2 * STREAM_BUFFER_BYTES;

  transmit(chain: number, offset: number, frameBytes: number, header: Uint32Array): void {
    const frame = { chain, offset, frameBytes, header };
    if (!this.#open) {
      this.#drop(chain);
    } else if (this.#stalled.length > 0 || !this.#gather(frame)) {
      // Bounded by the rings: the driver waits, as TCP wants it to.
      this.#stalled.push({ ...frame, header: header.slice() });
    }
  }

  announce(frame: Uint8Array): boolean {
    const to = this.#open ? this.#output.reserve(frame.byteLength) : undefined;
    to?.set(frame);
    this.flush();
    return to !== undefined;
  }

  flush(): void {
    const { offset, bytes } = this.#output;
    if (!this.#open || this.#sending || !this.#writable || bytes === 0) {
      return;
    }
    this.#sending = true;
    this.#move(OP_SEND, bytes, offset, TAG_SEND);
  }

  pump(): void {
    this.#input.deliver();
    if (this.#input.broken) {
      this.#lost();
    }
    const { offset, room } = this.#input;
    if (!this.#open || this.#receiving || !this.#readable || room === 0) {
      return;
    }
    this.#receiving = true;
    this.#heard = false;
    this.#input.ordered();
    this.#move(OP_RECEIVE, room, offset, TAG_RECEIVE);
  }

  attach(attached: boolean): void {
    this.#input.attached = attached;
    this.pump();
  }

  drain(queue: number): void {
    this.#giveBack(({ chain }) => queueOfChain(chain) === queue);
  }

  completion(_chain: number, tag: number, result: number): void {
    if (tag === TAG_SEND) {
      this.#sending = false;
      this.#sent(result);
    } else {
      this.#receiving = false;
      this.#received(result);
    }
    if (this.#closing) {
      this.#lost();
    }
  }

  event(token: number, hungUp: boolean): void {
    if (token === TOKEN_TIMER) {
      this.#connect();
    } else if (token === TOKEN_LISTEN) {
      this.#accept();
    } else if (token !== this.#socketToken) {
      return;
    } else if (hungUp) {
      // What the peer sent before it left is still to be read; its end is the read that gives 0.
      this.#readable = this.#heard = true;
      this.pump();
    } else {
      this.#readable = this.#heard = this.#writable = true;
      this.flush();
      this.pump();
    }
  }

  close(): void {
    this.#retry.stop();
    if (this.#fd !== undefined) {
      native.fdClose(this.#fd);
    }
  }

  /** Somebody is there, and will be: no more commands for one that is about to be closed. */
  get #open(): boolean {
    return this.#fd !== undefined && !this.#closing;
  }

  #move(code: number, bytes: number, offset: number, tag: number): void {
    const { context, firstNumber } = this.#options;
    const flags = FLAG_SOCKET | FLAG_ARENA | FLAG_NOTIFY;
    const fd = this.#fd as number;
    context.commands.move(code, NO_CHAIN, flags, fd, bytes, offset, 0, firstNumber + tag);
  }

  /** Copies a frame behind the others, finished if it is not; false when it has no room there. */
  #gather(frame: SentFrame): boolean {
    const { chain, offset, frameBytes, header } = frame;
    if (header[0] !== 0) {
      return this.#segment(frame);
    }
    const to = this.#output.reserve(frameBytes);
    if (to === undefined) {
      return false;
    }
    const { context, counters } = this.#options;
    context.copyOut(chain, offset, to, frameBytes);
    context.commands.complete(chain, 0);
    counters.moved(queueOfChain(chain), 1, frameBytes);
    return true;
  }

  /** The host's end takes plain frames: checksums and segments are our work. */
  #segment({ chain, offset, frameBytes, header }: SentFrame): boolean {
    const { context, counters } = this.#options;
    const read = context.copyOut(chain, offset, whole, frameBytes);
    let bytes = 0;
    const fits = this.#output.append((to, at, room) => {
      bytes = native.frameSegment(header, whole, 0, read, to, at, room);
      return bytes;
    });
    if (bytes === 0 || bytes > STREAM_BUFFER_BYTES) {
      this.#drop(chain, 'header');
      return true;
    }
    if (!fits) {
      return false;
    }
    context.commands.complete(chain, 0);
    counters.moved(queueOfChain(chain), 1, frameBytes);
    return true;
  }

  #giveBack(which: (frame: SentFrame) => boolean): void {
    const [gone, kept] = [this.#stalled.filter(which), this.#stalled.filter((f) => !which(f))];
    this.#stalled = kept;
    for (const { chain } of gone) {
      this.#drop(chain);
    }
  }

  #drop(chain: number, reason: DropReason = 'port'): void {
    this.#options.context.commands.complete(chain, 0);
    this.#options.counters.dropped(queueOfChain(chain), reason);
  }

  #sent(result: number): void {
    if (result === -EAGAIN) {
      this.#writable = false;
    } else if (result < 0) {
      this.#closing = true;
    } else {
      this.#output.sent(result);
    }
    while (this.#stalled.length > 0 && !this.#closing) {
      if (!this.#gather(this.#stalled[0] as SentFrame)) {
        break;
      }
      this.#stalled.shift();
    }
    this.flush();
  }

  #received(result: number): void {
    this.#input.arrived(Math.max(result, 0));
    if (result === -EAGAIN) {
      this.#readable = this.#heard;
    } else if (result <= 0) {
      this.#closing = true;
    }
    if (!this.#closing) {
      this.pump();
    }
  }

  #connect(): void {
    if (this.#fd !== undefined) {
      return;
    }
    const fd = native.socketConnect(this.#stream.path);
    if (fd < 0) {
      this.#retry.start();
    } else {
      this.#retry.stop();
      this.#begin(fd);
    }
  }

  /** One peer at a time; the next waits in the backlog. */
  #accept(): void {
    if (this.#fd === undefined) {
      const fd = native.socketAccept(this.#stream.listenFd as number);
      if (fd >= 0) {
        this.#begin(fd);
      }
    }
  }

  #begin(fd: number): void {
    this.#fd = fd;
    this.#readable = this.#writable = true;
    this.#socketToken = TOKEN_SOCKETS + ((this.#socketToken + 1) % SOCKET_TOKENS);
    this.#options.context.watch(fd, this.#options.firstNumber + this.#socketToken, true);
    this.pump();
  }

  /** The peer left or said what makes no sense: whatever was half sent or received is void. */
  #lost(): void {
    this.#closing = true;
    if (this.#sending || this.#receiving || this.#fd === undefined) {
      return;
    }
    this.#options.context.unwatch(this.#options.firstNumber + this.#socketToken);
    native.fdClose(this.#fd);
    this.#fd = undefined;
    this.#closing = false;
    this.#output.reset();
    this.#input.reset();
    this.#giveBack(() => true);
    if (this.#stream.listenFd === undefined) {
      this.#retry.start();
    } else {
      this.#accept();
    }
  }
}
