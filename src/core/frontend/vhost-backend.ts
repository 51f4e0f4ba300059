// What any vhost back-end can be told, whatever carries the message: the 14 operations of
// rust-vmm's `VhostBackend` and the checks it makes before it sends.

import { type LogArea, type MemoryRegion, VHOST_VRING_F_LOG } from '../protocol/index.js';
import { VhostError } from './vhost-error.js';

/** Most regions of one table: the limit of rust-vmm's trait. A transport may take fewer. */
export const VHOST_MAX_MEMORY_REGIONS = 255;
/** VIRTIO 1.3 §2.7 and §2.8: the largest queue size. */
export const QUEUE_SIZE_MAX = 32_768;

const U64_END = 1n << 64n;
/** VIRTIO 1.3 §2.7: what split rings need, which suits packed ones too (§2.8: 16, 4, 4). */
const DESCRIPTOR_ALIGN = 16n;
const AVAIL_ALIGN = 2n;
const USED_ALIGN = 4n;

/** A memory region and the file behind it. */
export interface MemoryRegionInfo extends MemoryRegion {
  /** Descriptor to map; it stays the caller's. */
  readonly mmapHandle: number;
}

/** One vring: its size, and addresses in the user address space of the memory regions. */
export interface VringConfigData {
  /** Largest size the device takes. */
  readonly queueMaxSize: number;
  /** Size the driver chose. */
  readonly queueSize: number;
  /** VHOST_VRING_F_LOG or 0. */
  readonly flags: number;
  readonly descTableAddress: bigint;
  readonly usedRingAddress: bigint;
  readonly availRingAddress: bigint;
  /** Guest address by which writes to the used ring are logged; needed with VHOST_VRING_F_LOG. */
  readonly logAddress?: bigint;
}

/**
 * Each operation resolves when the back-end has done it, as far as the transport can tell, and
 * rejects with a VhostError for arguments no back-end could take, or with the transport's own
 * error. Descriptors given stay the caller's and must live until the promise settles. Calls may
 * overlap: they take effect in the order they were made.
 */
export interface VhostBackend {
  /** Virtio and vhost feature bits on offer. */
  getFeatures(): Promise<bigint>;
  /** Takes a subset of getFeatures() into use. */
  setFeatures(features: bigint): Promise<void>;
  /** Makes this process the owner; before anything else that changes state. */
  setOwner(): Promise<void>;
  /** Gives ownership up. Deprecated in vhost-user: back-ends disable rings at most. */
  resetOwner(): Promise<void>;
  /** Replaces the guest's memory. INVALID_GUEST_MEMORY, INVALID_GUEST_MEMORY_REGION. */
  setMemTable(regions: readonly MemoryRegionInfo[]): Promise<void>;
  /** The dirty log: an address of this process, or an area of a shared file. LOG_ADDRESS. */
  setLogBase(base: bigint | LogArea, fd?: number): Promise<void>;
  /** The eventfd to signal after writing to the log. */
  setLogFd(fd: number): Promise<void>;
  /** The size of a stopped vring. */
  setVringNum(index: number, num: number): Promise<void>;
  /** Where a vring lies. INVALID_QUEUE, DESCRIPTOR_TABLE_ADDRESS, AVAIL_ADDRESS, USED_ADDRESS,
   *  LOG_ADDRESS. */
  setVringAddr(index: number, config: VringConfigData): Promise<void>;
  /** Where a vring goes on: the next avail index, or the packed word with its wrap counters. */
  setVringBase(index: number, base: number): Promise<void>;
  /** Stops a vring; where it stopped. */
  getVringBase(index: number): Promise<number>;
  /** The eventfd the back-end signals for used buffers; undefined: the driver polls. */
  setVringCall(index: number, fd: number | undefined): Promise<void>;
  /** The eventfd the driver signals for available buffers; undefined: the back-end polls. */
  setVringKick(index: number, fd: number | undefined): Promise<void>;
  /** The eventfd the back-end signals when the vring is broken. */
  setVringErr(index: number, fd: number | undefined): Promise<void>;
}

/** Throws VhostError for regions no back-end could map; `limit` is the transport's. */
export function validateMemoryRegions(
  regions: readonly MemoryRegionInfo[],
  limit = VHOST_MAX_MEMORY_REGIONS,
): void {
  if (regions.length === 0 || regions.length > limit) {
    throw new VhostError('INVALID_GUEST_MEMORY', `${regions.length} regions, limit ${limit}`);
  }
  regions.forEach(validateRegion);
  const sorted = [...regions].sort((a, b) => (a.guestAddress < b.guestAddress ? -1 : 1));
  sorted.reduce((before, region) => {
    if (before.guestAddress + before.sizeBytes > region.guestAddress) {
      throw new VhostError(
        'INVALID_GUEST_MEMORY',
        `regions overlap at guest address 0x${region.guestAddress.toString(16)}`,
      );
    }
    return region;
  });
}

function validateRegion(region: MemoryRegionInfo, index: number): void {
  const { guestAddress, userAddress, sizeBytes, mmapOffsetBytes, mmapHandle } = region;
  const fault = (what: string): never => {
    throw new VhostError('INVALID_GUEST_MEMORY_REGION', `region ${index}: ${what}`);
  };
  if (sizeBytes <= 0n) {
    fault(`size ${sizeBytes}`);
  }
  for (const start of [guestAddress, userAddress, mmapOffsetBytes]) {
    if (start < 0n || start + sizeBytes > U64_END) {
      fault(`${start} + ${sizeBytes} leaves 64 bits`);
    }
  }
  if (!Number.isInteger(mmapHandle) || mmapHandle < 0) {
    fault(`descriptor ${mmapHandle}`);
  }
}

/** Throws VhostError for a vring no back-end could run. */
export function validateVringConfig(config: VringConfigData): void {
  const { queueSize, queueMaxSize, flags, logAddress } = config;
  const limit = Math.min(queueMaxSize, QUEUE_SIZE_MAX);
  if (!Number.isInteger(queueSize) || queueSize < 1 || queueSize > limit) {
    throw new VhostError('INVALID_QUEUE', `size ${queueSize}, limit ${limit}`);
  }
  if ((flags & ~VHOST_VRING_F_LOG) !== 0) {
    throw new VhostError('INVALID_QUEUE', `flags ${flags}`);
  }
  requireAligned('DESCRIPTOR_TABLE_ADDRESS', config.descTableAddress, DESCRIPTOR_ALIGN);
  requireAligned('AVAIL_ADDRESS', config.availRingAddress, AVAIL_ALIGN);
  requireAligned('USED_ADDRESS', config.usedRingAddress, USED_ALIGN);
  if ((flags & VHOST_VRING_F_LOG) !== 0 && logAddress === undefined) {
    throw new VhostError('LOG_ADDRESS', 'a vring that logs needs one');
  }
}

function requireAligned(
  code: 'DESCRIPTOR_TABLE_ADDRESS' | 'AVAIL_ADDRESS' | 'USED_ADDRESS',
  address: bigint,
  align: bigint,
): void {
  if (address < 0n || address >= U64_END || address % align !== 0n) {
    throw new VhostError(code, `0x${address.toString(16)}, alignment ${align}`);
  }
}
