// Keeps a descriptor of frames read into receive chains: when it is ready and the driver has posted
// some, one command at a time, until it has no more. No chains, no reading: the host's queue fills
// up and drops there, and nothing spins (NT-015).

import type { HandlerContext } from '../../../core/device.js';
import type { Receiver } from '../receive-queue.js';

const EAGAIN = 11;

export interface FrameReaderOptions {
  readonly context: HandlerContext;
  readonly receive: Receiver;
  /** FLAG_SOCKET or 0. */
  readonly flags: number;
  readonly tag: number;
  readonly token: number;
  /** The descriptor failed with -errno; it is read again when it is ready. */
  readonly failed: (result: number) => void;
}

export class FrameReader {
  readonly #options: FrameReaderOptions;
  /** Undefined: nothing to read from, or not now. */
  #fd: number | undefined;
  /** It may have frames. */
  #ready = false;
  /** A command is under way. */
  #reading = false;
  /** It became ready since that command was given. */
  #heard = false;

  constructor(options: FrameReaderOptions) {
    this.#options = options;
  }

  /** Reads from this descriptor from now on. */
  open(fd: number): void {
    this.close();
    this.#options.context.watch(fd, this.#options.token);
    this.#fd = fd;
    this.#ready = true;
    this.pump();
  }

  close(): void {
    if (this.#fd !== undefined) {
      this.#options.context.unwatch(this.#options.token);
      this.#fd = undefined;
    }
  }

  pump(): void {
    const { receive, flags, tag } = this.#options;
    if (this.#fd === undefined || !this.#ready || this.#reading || !receive.ready) {
      return;
    }
    this.#reading = true;
    this.#heard = false;
    receive.receive(this.#fd, flags, tag);
  }

  /** The command is done. */
  completion(result: number): void {
    this.#reading = false;
    this.#options.receive.received();
    if (result < 0) {
      this.#ready = this.#heard;
      if (result !== -EAGAIN) {
        this.#ready = false;
        this.#options.failed(result);
      }
    }
    this.pump();
  }

  /** The descriptor is ready. */
  event(): void {
    this.#ready = this.#heard = true;
    this.pump();
  }
}
