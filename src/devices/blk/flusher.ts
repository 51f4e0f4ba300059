// FLUSH: one fdatasync at a time, for all that wait for one. A flush that arrives while one runs
// waits for the next, which starts after its arrival and so covers every write completed before it
// (BK-026; group commit comes with it). One at a time also because the kernel reports a lost write
// to a single fdatasync: two in parallel would call one of them good.

import type { CommandWriter } from '../../core/virtqueue/command-writer.js';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from './format.js';
import type { SharedState } from './shared-state.js';
import { IMAGE, TAG_SYNC } from './tags.js';

export type StatusCallback = (status: number) => void;

export class Flusher {
  readonly #commands: CommandWriter;
  readonly #state: SharedState;
  #waiting: StatusCallback[] = [];
  #running: StatusCallback[] = [];

  constructor(commands: CommandWriter, state: SharedState) {
    this.#commands = commands;
    this.#state = state;
  }

  flush(done: StatusCallback): void {
    if (this.#state.failed) {
      done(VIRTIO_BLK_S_IOERR);
      return;
    }
    this.#waiting.push(done);
    if (this.#running.length === 0) {
      this.#start();
    }
  }

  owns(tag: number): boolean {
    return tag === TAG_SYNC;
  }

  /** The fdatasync has ended with 0 or -errno. */
  done(result: number): void {
    if (result < 0) {
      this.#state.fail();
    }
    const finished = this.#running;
    this.#running = [];
    const status = this.#state.failed ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
    for (const done of finished) {
      done(status);
    }
    if (this.#waiting.length > 0) {
      this.#start();
    }
  }

  #start(): void {
    this.#running = this.#waiting;
    this.#waiting = [];
    this.#commands.sync(IMAGE, TAG_SYNC);
  }
}
