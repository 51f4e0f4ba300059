// The driver side of a virtqueue of either kind, as a driver uses it that keeps the rules.

import type { Buffer, UsedElement } from './driver-ring.js';
import { DriverRing } from './driver-ring.js';
import { PackedDriverRing } from './packed-driver-ring.js';
import type { SharedMemory } from './shared-memory.js';

export interface RingDriver {
  readonly size: number;
  /** The three addresses of SET_VRING_ADDR, as offsets in the shared memory. */
  readonly descriptorOffset: number;
  readonly availOffset: number;
  readonly usedOffset: number;
  /** Descriptors that can still be used. */
  readonly freeCount: number;
  /** What SET_VRING_BASE says when nothing is in flight. */
  readonly resumeBase: number;
  /** There are used elements that takeUsed() has not returned. */
  readonly hasUsed: boolean;
  /** Queues a chain; its id comes back in its used element. */
  add(buffers: readonly Buffer[], options?: { readonly indirect?: boolean }): number;
  /** Shows the device what add() has queued; true when it wants a kick for it. */
  publish(): boolean;
  /** Used elements not seen before; asks for a call at the next one. */
  takeUsed(): UsedElement[];
}

export interface RingDriverOptions {
  readonly size: number;
  readonly eventIdx: boolean;
  readonly packed?: boolean;
  /** VIRTIO_F_IN_ORDER was negotiated. */
  readonly inOrder?: boolean;
  /** Where both sides begin: an avail index, or of a packed ring index and wrap counter. */
  readonly base?: number;
}

export function createRingDriver(
  memory: SharedMemory,
  { packed = false, ...options }: RingDriverOptions,
): RingDriver {
  return packed ? new PackedDriverRing(memory, options) : new DriverRing(memory, options);
}
