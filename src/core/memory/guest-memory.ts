// A guest's memory on the control thread: an immutable set of mapped regions, owned by number. The
// mapping itself is native; JavaScript never sees a guest's byte.

import { check, type MemoryId, native } from '../../native/index.js';

export interface RegionDescription {
  readonly guestAddress: bigint;
  readonly userAddress: bigint;
  readonly sizeBytes: bigint;
  readonly mmapOffsetBytes: bigint;
}

/** What an I/O address leads to, and what may be done there. */
export interface Translation {
  readonly iova: bigint;
  readonly sizeBytes: bigint;
  readonly target: bigint;
  /** IOTLB_PERM_READ, IOTLB_PERM_WRITE or both. */
  readonly permissions: number;
  /** The target is a guest address, not the front-end's own. */
  readonly targetIsGuest: boolean;
}

export class GuestMemory {
  readonly id: MemoryId;

  private constructor(id: MemoryId) {
    this.id = id;
  }

  static empty(): GuestMemory {
    return new GuestMemory(native.memoryCreate());
  }

  /** A new memory with one region more; the fd stays the caller's. Throws SystemError: EINVAL
   *  (sizes or sums), EBADF (no regular file), EACCES (not read-write), EOVERFLOW (file too
   *  short), EEXIST (overlap), ENOSPC (too many regions), or what mmap said. */
  with(fd: number, region: RegionDescription): GuestMemory {
    const { guestAddress, userAddress, sizeBytes, mmapOffsetBytes } = region;
    const id = native.memoryWith(
      this.id,
      fd,
      guestAddress,
      userAddress,
      sizeBytes,
      mmapOffsetBytes,
    );
    return new GuestMemory(check('map memory region', id));
  }

  /** A new memory without that region. Throws SystemError ENOENT. */
  without(region: RegionDescription): GuestMemory {
    const { guestAddress, userAddress, sizeBytes, mmapOffsetBytes } = region;
    const id = native.memoryWithout(this.id, guestAddress, userAddress, sizeBytes, mmapOffsetBytes);
    return new GuestMemory(check('remove memory region', id));
  }

  /** A new memory that knows one translation more, in place of those it overlaps; undefined when it
   *  is known already. Throws SystemError: EINVAL (empty, or it wraps), EFAULT (leads outside). */
  withTranslation(translation: Translation): GuestMemory | undefined {
    const { iova, sizeBytes, target, permissions, targetIsGuest } = translation;
    const id = check(
      'I/O address translation',
      native.memoryWithTranslation(this.id, iova, sizeBytes, target, permissions, targetIsGuest),
    );
    return id === 0 ? undefined : new GuestMemory(id);
  }

  /** A new memory without translations of [first, last]. */
  withoutTranslations(first: bigint, last: bigint): GuestMemory {
    return new GuestMemory(native.memoryWithoutTranslations(this.id, first, last));
  }

  /** All regions, or none: what was mapped before a failure is unmapped again. */
  static of(regions: readonly (RegionDescription & { readonly fd: number })[]): GuestMemory {
    let memory = GuestMemory.empty();
    for (const region of regions) {
      const smaller = memory;
      try {
        memory = smaller.with(region.fd, region);
      } finally {
        smaller.release();
      }
    }
    return memory;
  }

  get regionCount(): number {
    return native.memoryRegionCount(this.id);
  }

  /** True when one region holds [userAddress, + bytes) in the front-end's addresses. */
  holdsUser(userAddress: bigint, bytes: bigint): boolean {
    return native.memoryHoldsUser(this.id, userAddress, bytes);
  }

  /** Gives up this owner; workers that use the memory keep it until they let go. */
  release(): void {
    native.memoryRelease(this.id);
  }
}
