// Descriptors that came with one message. Each has one owner: whoever takes it out; the rest is
// closed with the bag.

import { native } from '../../native/index.js';
import { assert } from '../assert.js';

export class FdBag {
  #fds: number[] = [];

  add(fd: number): void {
    this.#fds.push(fd);
  }

  get count(): number {
    return this.#fds.length;
  }

  /** The first descriptor, now the caller's. */
  take(): number {
    const fd = this.#fds.shift();
    assert(fd !== undefined, 'the table of requests promised a descriptor');
    return fd;
  }

  /** All descriptors, still the bag's: valid until close(). */
  borrow(): readonly number[] {
    return this.#fds;
  }

  close(): void {
    for (const fd of this.#fds) {
      native.fdClose(fd);
    }
    this.#fds = [];
  }
}
