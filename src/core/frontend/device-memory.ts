// The guest's memory as a back-end knows it: the whole table at once, or one slot after another
// where the back-end has slots.

import { MEM_TABLE_REGIONS_MAX } from '../protocol/index.js';
import {
  type MemoryRegionInfo,
  VHOST_MAX_MEMORY_REGIONS,
  validateMemoryRegions,
} from './vhost-backend.js';
import type { VhostDeviceBackend } from './vhost-device-backend.js';
import { VhostError } from './vhost-error.js';

/** QEMU's limit: what a back-end says beyond it is not believed. */
const SLOTS_MAX = 512;

export class DeviceMemory {
  readonly #backend: VhostDeviceBackend;
  #regions: readonly MemoryRegionInfo[] = [];
  /** Regions the back-end can take; undefined: no slots, the whole table in one message. */
  #slots: number | undefined;

  constructor(backend: VhostDeviceBackend) {
    this.#backend = backend;
  }

  /** Asks for the number of slots where they were negotiated. */
  async init(hasSlots: boolean): Promise<void> {
    if (hasSlots && this.#backend.getMaxMemSlots !== undefined) {
      const slots = await this.#backend.getMaxMemSlots();
      this.#slots = Number(slots > SLOTS_MAX ? SLOTS_MAX : slots);
    }
  }

  get regions(): readonly MemoryRegionInfo[] {
    return this.#regions;
  }

  get freeSlots(): number {
    return this.#limit - this.#regions.length;
  }

  /** First guest address behind all regions. */
  get guestEnd(): bigint {
    return this.#regions.reduce((end, { guestAddress, sizeBytes }) => {
      const regionEnd = guestAddress + sizeBytes;
      return regionEnd > end ? regionEnd : end;
    }, 0n);
  }

  /** Where the back-end's peer, which is this process, has a guest address. INVALID_QUEUE. */
  userAddress(guestAddress: bigint): bigint {
    const found = this.#regions.find(
      (region) =>
        guestAddress >= region.guestAddress &&
        guestAddress < region.guestAddress + region.sizeBytes,
    );
    if (found === undefined) {
      throw new VhostError('INVALID_QUEUE', `0x${guestAddress.toString(16)} is no guest memory`);
    }
    return found.userAddress + (guestAddress - found.guestAddress);
  }

  /** Makes these the guest's memory. */
  async set(next: readonly MemoryRegionInfo[]): Promise<void> {
    validateMemoryRegions(next, this.#limit);
    if (this.#slots === undefined) {
      await this.#backend.setMemTable(next);
      this.#regions = next;
      return;
    }
    for (const region of this.#regions.filter((old) => !next.some((one) => same(one, old)))) {
      await this.#backend.removeMemRegion?.(region);
      this.#regions = this.#regions.filter((old) => old !== region);
    }
    for (const region of next.filter((one) => !this.#regions.some((old) => same(old, one)))) {
      await this.#backend.addMemRegion?.(region, region.mmapHandle);
      this.#regions = [...this.#regions, region];
    }
  }

  get #limit(): number {
    if (this.#slots !== undefined) {
      return this.#slots;
    }
    // A message over a socket has eight descriptors; the kernel's vhost takes a pointer.
    return this.#backend.protocolFeatures === undefined
      ? VHOST_MAX_MEMORY_REGIONS
      : MEM_TABLE_REGIONS_MAX;
  }
}

/** What a back-end would take for the same region, descriptor included. */
function same(a: MemoryRegionInfo, b: MemoryRegionInfo): boolean {
  return (
    a.guestAddress === b.guestAddress &&
    a.userAddress === b.userAddress &&
    a.sizeBytes === b.sizeBytes &&
    a.mmapOffsetBytes === b.mmapOffsetBytes &&
    a.mmapHandle === b.mmapHandle
  );
}
