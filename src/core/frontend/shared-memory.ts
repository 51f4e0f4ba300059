// The memory a front-end shares with a back-end: one memfd, mapped here, known to the guest by one
// address and to the front-end by another: a back-end that mixes them up fails.

import { check, native } from '../../native/index.js';
import type { MemoryRegion } from '../protocol/index.js';

const DEFAULT_GUEST_BASE = 0x4000_0000n;
const DEFAULT_USER_BASE = 0x7f00_0000_0000n;

/**
 * How rings and buffers are told to the back-end: rings by the front-end's addresses and buffers by
 * the guest's, both by the guest's (GPA_ADDRESSES), or both by I/O addresses (ACCESS_PLATFORM).
 */
export type AddressKind = 'user' | 'guest' | 'io';

/** Far from the others, so that an address of the wrong kind leads nowhere. */
const IO_BASE = 0x1_0000_0000_0000n;

export interface SharedMemoryOptions {
  readonly sizeBytes: number;
  readonly guestBase?: bigint;
  readonly userBase?: bigint;
  readonly addresses?: AddressKind;
  /** A file to share instead of a new memfd; from here on owned by the SharedMemory. */
  readonly fd?: number;
}

export class SharedMemory {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly guestBase: bigint;
  readonly userBase: bigint;
  readonly addresses: AddressKind;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  #next = 0;

  constructor({ sizeBytes, guestBase, userBase, addresses, fd }: SharedMemoryOptions) {
    this.sizeBytes = sizeBytes;
    this.guestBase = guestBase ?? DEFAULT_GUEST_BASE;
    this.userBase = userBase ?? DEFAULT_USER_BASE;
    this.addresses = addresses ?? 'user';
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

  /** As a descriptor names a buffer. */
  guestAddress(offset: number): bigint {
    return (this.addresses === 'io' ? IO_BASE : this.guestBase) + BigInt(offset);
  }

  /** As SET_VRING_ADDR names a ring. */
  userAddress(offset: number): bigint {
    return this.addresses === 'user' ? this.userBase + BigInt(offset) : this.guestAddress(offset);
  }

  /** Where in the memory an I/O address leads; undefined: nowhere. */
  offsetOfIo(iova: bigint): number | undefined {
    const offset = iova - IO_BASE;
    return offset >= 0n && offset < BigInt(this.sizeBytes) ? Number(offset) : undefined;
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
