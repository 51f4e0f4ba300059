// One UNIX socket as a stream of vhost-user messages: exactly one header, then exactly its payload,
// so that descriptors stay with the message they came with. Pulled, one message at a time: what we
// don't read waits in the socket, and the peer with it.

import { native, READABLE, SystemError, type Watcher, WRITABLE } from '../../native/index.js';
import {
  checkRequestHeader,
  decodeHeader,
  FDS_MAX,
  HEADER_BYTES,
  type MessageHeader,
  VhostUserError,
} from '../protocol/index.js';
import { FdBag } from './fd-bag.js';

/** A message begun must end: a peer that sends half of one would hold the device (CS-016). */
export const MESSAGE_TIMEOUT_MS = 10_000;
/** Replies a peer has not read; the socket itself buffers some 200 KiB before (CS-017). */
const OUT_QUEUE_BYTES_MAX = 64 << 10;
/** Messages handled before other sources of events get their turn (CS-018). */
const MESSAGES_PER_TURN = 32;

export interface RawMessage {
  readonly header: MessageHeader;
  readonly payload: Uint8Array;
  readonly fds: FdBag;
}

interface OutMessage {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
  sent: number;
}

export interface ConnectionOptions {
  readonly messageTimeoutMs?: number;
}

export class Connection {
  readonly #fd: number;
  readonly #watcher: Watcher;
  readonly #messageTimeoutMs: number;
  /** When the message that has begun must be complete. */
  #messageEndMs: number | undefined;
  readonly #fdTable = new Int32Array(2 + FDS_MAX + 1);
  readonly #outQueue: OutMessage[] = [];
  #outBytes = 0;
  #wakeReader: (() => void) | undefined;
  #failure: Error | undefined;
  #closed = false;
  #messagesThisTurn = 0;

  /** Takes ownership of a non-blocking socket. */
  constructor(fd: number, options: ConnectionOptions = {}) {
    this.#fd = fd;
    this.#messageTimeoutMs = options.messageTimeoutMs ?? MESSAGE_TIMEOUT_MS;
    this.#watcher = new native.Watcher(fd, (events) => this.#onReady(events));
  }

  /** The next message, or undefined when the peer has closed between two. Throws VhostUserError on
   *  a broken frame; the caller owns the message's descriptors. */
  async receive(): Promise<RawMessage | undefined> {
    await this.#giveWay();
    const fds = new FdBag();
    this.#messageEndMs = undefined;
    try {
      const headerBytes = await this.#read(HEADER_BYTES, fds);
      if (headerBytes === undefined) {
        fds.close();
        return undefined;
      }
      const header = decodeHeader(headerBytes);
      checkRequestHeaderOrReply(header);
      const payload =
        header.size === 0 ? new Uint8Array(0) : await this.#read(header.size, undefined);
      if (payload === undefined) {
        throw new VhostUserError('TRUNCATED');
      }
      return { header, payload, fds };
    } catch (error) {
      fds.close();
      throw error;
    }
  }

  /** Sends now what the socket takes and the rest when it can. Never blocks. Throws VhostUserError
   *  when the peer is gone or reads nothing. The descriptors stay the caller's and must live until
   *  the message is out; a message with descriptors is sent at once or not at all. */
  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.#throwFailure();
    const message: OutMessage = { bytes, fds, sent: 0 };
    if (this.#outQueue.length === 0 && this.#push(message)) {
      return;
    }
    if (this.#outBytes + bytes.byteLength > OUT_QUEUE_BYTES_MAX || fds.length > 0) {
      throw new VhostUserError('OUT_QUEUE_FULL');
    }
    this.#outQueue.push(message);
    this.#outBytes += bytes.byteLength;
    this.#watch();
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#failure ??= new VhostUserError('PEER_CLOSED', 'closed by this side');
    this.#watcher.close();
    native.socketShutdown(this.#fd);
    native.fdClose(this.#fd);
    this.#wakeReader?.();
  }

  /** Makes receive() fail with this error, also while it waits. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wakeReader?.();
  }

  async #giveWay(): Promise<void> {
    if (++this.#messagesThisTurn >= MESSAGES_PER_TURN) {
      this.#messagesThisTurn = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Exactly `bytes`; undefined at an orderly end before the first one. Descriptors go into `fds`;
   *  with none to go into they are a fault (CS-005). */
  async #read(bytes: number, fds: FdBag | undefined): Promise<Uint8Array | undefined> {
    const buffer = new Uint8Array(bytes);
    let filled = 0;
    while (filled < bytes) {
      this.#throwFailure();
      const got = native.socketReceive(this.#fd, buffer, filled, bytes - filled, this.#fdTable);
      this.#takeFds(fds);
      if (got > 0) {
        // One limit for the whole message: a byte now and then does not extend it.
        this.#messageEndMs ??= performance.now() + this.#messageTimeoutMs;
        filled += got;
        continue;
      }
      if (got === 0) {
        if (filled === 0 && fds !== undefined) {
          return undefined;
        }
        throw new VhostUserError('TRUNCATED');
      }
      const error = new SystemError('receive', -got);
      if (error.code !== 'EAGAIN') {
        throw new VhostUserError('PEER_CLOSED', error.code);
      }
      await this.#readable();
    }
    return buffer;
  }

  #takeFds(fds: FdBag | undefined): void {
    const count = this.#fdTable[0] as number;
    const lost = this.#fdTable[1] as number;
    this.#fdTable[0] = 0;
    this.#fdTable[1] = 0;
    const target = fds ?? new FdBag();
    for (let i = 0; i < count; i++) {
      target.add(this.#fdTable[2 + i] as number);
    }
    if (fds === undefined && count > 0) {
      target.close();
      throw new VhostUserError('FD_PLACE');
    }
    if (lost !== 0) {
      throw new VhostUserError('FD_TRUNCATED');
    }
    if (target.count > FDS_MAX) {
      throw new VhostUserError('FD_COUNT', `more than ${FDS_MAX}`);
    }
  }

  /** Between two messages for ever, within one as long as it may take. */
  async #readable(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wakeReader = resolve;
      this.#watch();
      if (this.#messageEndMs !== undefined) {
        const timeoutMs = Math.max(0, this.#messageEndMs - performance.now());
        timer = setTimeout(() => this.fail(new VhostUserError('HANDSHAKE_TIMEOUT')), timeoutMs);
      }
    });
    clearTimeout(timer);
    this.#wakeReader = undefined;
    this.#watch();
  }

  /** Interest only in what can make progress: anything else would spin. */
  #watch(): void {
    if (!this.#closed) {
      const read = this.#wakeReader === undefined ? 0 : READABLE;
      this.#watcher.watch(read | (this.#outQueue.length > 0 ? WRITABLE : 0));
    }
  }

  #onReady(events: number): void {
    if (events & WRITABLE) {
      this.#flush();
    }
    if (events & READABLE) {
      this.#wakeReader?.();
    }
  }

  #flush(): void {
    try {
      for (let head = this.#outQueue[0]; head !== undefined; head = this.#outQueue[0]) {
        if (!this.#push(head)) {
          return;
        }
        this.#outQueue.shift();
        this.#outBytes -= head.bytes.byteLength;
      }
      this.#watch();
    } catch (error) {
      this.#outQueue.length = 0;
      this.#watch();
      this.fail(error as Error);
    }
  }

  /** True when the whole message is out. */
  #push(message: OutMessage): boolean {
    const { bytes, fds } = message;
    while (message.sent < bytes.byteLength) {
      const table = Int32Array.from(message.sent === 0 ? fds : []);
      const left = bytes.byteLength - message.sent;
      const got = native.socketSend(this.#fd, bytes, message.sent, left, table, table.length);
      if (got < 0) {
        const error = new SystemError('send', -got);
        if (error.code === 'EAGAIN') {
          return false;
        }
        throw new VhostUserError('PEER_CLOSED', error.code);
      }
      message.sent += got;
    }
    return true;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
  }
}

/** Framing is the same for requests and replies; which one was due is the caller's to judge. */
function checkRequestHeaderOrReply(header: MessageHeader): void {
  checkRequestHeader(header.isReply ? { ...header, isReply: false } : header);
}
