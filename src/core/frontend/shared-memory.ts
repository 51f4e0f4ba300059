// The memory a front-end shares with a back-end: one memfd, mapped here, known to the guest by one
// address and to the front-end by another: a back-end that mixes them up fails.

import { check, native } from '../../native/index.js';
import type { MemoryRegion } from '../protocol/index.js';

const DEFAULT_GUEST_BASE = 0x4000_0000n;
const DEFAULT_USER_BASE = 0x7f00_0000_0000n;

export interface SharedMemoryOptions {
  readonly sizeBytes: number;
  readonly guestBase?: bigint;
  readonly userBase?: bigint;
  /** A file to share instead of a new memfd; from here on owned by the SharedMemory. */
  readonly fd?: number;
}

export class SharedMemory {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly guestBase: bigint;
  readonly userBase: bigint;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  #next = 0;

  constructor({ sizeBytes, guestBase, userBase, fd }: SharedMemoryOptions) {
    this.sizeBytes = sizeBytes;
    this.guestBase = guestBase ?? DEFAULT_GUEST_BASE;
    this.userBase = userBase ?? DEFAULT_USER_BASE;
    this.fd = fd ?? check('memfd_create', native.memfdCreate('vhost-ts-guest', sizeBytes));
    const mapped = native.mapShared(this.fd, 0, sizeBytes);
    if (typeof mapped === 'number') {
      native.fdClose(this.fd);
      check('mmap', mapped);
      throw new Error('unreachable');
    }
    this.buffer = mapped;
    this.bytes = new Uint8Array(mapped);
    this.view = new DataView(mapped);
  }

  /** As SET_MEM_TABLE and ADD_MEM_REG describe it. */
  get region(): MemoryRegion {
    return {
      guestAddress: this.guestBase,
      userAddress: this.userBase,
      sizeBytes: BigInt(this.sizeBytes),
      mmapOffsetBytes: 0n,
    };
  }

  guestAddress(offset: number): bigint {
    return this.guestBase + BigInt(offset);
  }

  userAddress(offset: number): bigint {
    return this.userBase + BigInt(offset);
  }

  /** Offset of fresh bytes; there is no free(), only reset(). */
  allocate(bytes: number, align = 16): number {
    const at = Math.ceil(this.#next / align) * align;
    if (at + bytes > this.sizeBytes) {
      throw new RangeError(`${bytes} bytes do not fit the shared memory`);
    }
    this.#next = at + bytes;
    return at;
  }

  /** Where the next allocation starts; reset(mark) gives back what came after. */
  mark(): number {
    return this.#next;
  }

  reset(mark: number): void {
    this.#next = mark;
  }

  close(): void {
    native.fdClose(this.fd);
  }
}
