// The dirty log of a migration: one bit for each page of guest memory, set by the back-end in a
// shared file, taken here (vhost-user: SET_LOG_BASE).

import { check, native } from '../../native/index.js';
import type { LogArea } from '../protocol/index.js';
import { VhostError } from './vhost-error.js';

/** One bit stands for this many bytes, whatever the guest's page size. */
export const LOG_PAGE_BYTES = 4096;
/** The log grows in words of 64 bits: back-ends may set bits with an atomic of that width. */
const WORD_BYTES = 8;
const PAGES_PER_WORD = BigInt(8 * WORD_BYTES);
/** 2^52 bytes of guest memory and more; a mistake rather than a machine. */
const LOG_BYTES_MAX = 2 ** 37;

const BITS = 32;

export class DirtyLog {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly #words: Uint32Array;

  /** A log, all clean, for guest addresses below `guestEnd`. Throws LOG_ADDRESS, SystemError. */
  constructor(guestEnd: bigint) {
    const pages = (guestEnd + BigInt(LOG_PAGE_BYTES) - 1n) / BigInt(LOG_PAGE_BYTES);
    const bytes = ((pages + PAGES_PER_WORD - 1n) / PAGES_PER_WORD) * BigInt(WORD_BYTES);
    if (bytes <= 0n || bytes > LOG_BYTES_MAX) {
      throw new VhostError('LOG_ADDRESS', `a log of ${bytes} bytes`);
    }
    this.sizeBytes = Number(bytes);
    this.fd = check('memfd_create', native.memfdCreate('vhost-ts-log', this.sizeBytes));
    const mapped = native.mapShared(this.fd, 0, this.sizeBytes);
    if (typeof mapped === 'number') {
      native.fdClose(this.fd);
      check('mmap', mapped);
      throw new Error('unreachable');
    }
    this.#words = new Uint32Array(mapped);
  }

  /** As SET_LOG_BASE describes it. */
  get area(): LogArea {
    return { mmapSizeBytes: BigInt(this.sizeBytes), mmapOffsetBytes: 0n };
  }

  /** Guest addresses of the pages written since the last call, rising; each is clean again. */
  take(): bigint[] {
    const pages: bigint[] = [];
    for (let word = 0; word < this.#words.length; word++) {
      // Looked at before exchanged: a clean log is only read, so its pages stay shared.
      let bits = this.#words[word] === 0 ? 0 : Atomics.exchange(this.#words, word, 0);
      while (bits !== 0) {
        const bit = BITS - 1 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        pages.push(BigInt(word * BITS + bit) * BigInt(LOG_PAGE_BYTES));
      }
    }
    return pages;
  }

  close(): void {
    native.fdClose(this.fd);
  }
}
