// Everything that can be wrong with a virtqueue or a chain of it, by code. The first part is found
// by the native core while it reads a ring and stops that ring; the second a device meets when it
// reads and writes one chain, which a driver may have made too short; the third is said of how a
// queue is configured and used, and changes nothing.

interface QueueErrorRow {
  readonly sentence: string;
  /** The ring is given up; else the queue goes on without what was asked. */
  readonly stopsQueue: boolean;
}

const stops = (sentence: string): QueueErrorRow => ({ sentence, stopsQueue: true });
const misuse = (sentence: string): QueueErrorRow => ({ sentence, stopsQueue: false });
const chainOnly = (sentence: string): QueueErrorRow => ({ sentence, stopsQueue: false });

export const QUEUE_ERRORS = {
  INVALID_AVAIL_RING_INDEX: stops('the driver offers more chains than the ring has descriptors'),
  INVALID_DESCRIPTOR_INDEX: stops('a head or next index is outside the descriptor table'),
  INVALID_CHAIN: stops('the chain is too long, loops, is in flight, or mixes its two parts'),
  INVALID_INDIRECT_DESCRIPTOR: stops('an indirect descriptor has NEXT or is nested'),
  INVALID_INDIRECT_DESCRIPTOR_TABLE: stops('the indirect table has a bad length'),
  ADDRESS_OVERFLOW: stops('the chain has more than 2^32 - 1 bytes'),
  GUEST_MEMORY: stops('a buffer or the ring is outside guest memory, or that was taken away'),
  INFLIGHT_AREA: stops('the inflight area contradicts itself or the ring'),
  DEVICE: stops('the device failed'),
  SHORT_READABLE: chainOnly('the device-readable part of the chain is too short'),
  SHORT_WRITABLE: chainOnly('the device-writable part of the chain is too short'),
  SPLIT_RANGE: chainOnly('the offset to split at is beyond the rest of the part'),
  COMPLETED: chainOnly('the chain was given back to the driver already'),
  INVALID_MAX_SIZE: misuse('the maximum size is no size of a ring'),
  INVALID_SIZE: misuse('the size is no size of this ring'),
  INVALID_DESC_TABLE_ALIGN: misuse('the descriptor table is not aligned as it must be'),
  INVALID_AVAIL_RING_ALIGN: misuse('the available ring is not aligned as it must be'),
  INVALID_USED_RING_ALIGN: misuse('the used ring is not aligned as it must be'),
  INVALID_POSITION: misuse('no ring of this size can be at this place'),
  RING_OUTSIDE_MEMORY: misuse('a part of the ring is outside guest memory'),
  READY: misuse('the queue is ready: stop it before it is configured'),
  NOT_READY: misuse('the queue is not ready'),
  NOT_IN_FLIGHT: misuse('the chain is not in flight'),
  IN_FLIGHT: misuse('chains are in flight'),
} as const satisfies Record<string, QueueErrorRow>;

export type QueueErrorCode = keyof typeof QUEUE_ERRORS;

export class QueueError extends Error {
  override readonly name = 'QueueError';
  readonly code: QueueErrorCode;
  readonly stopsQueue: boolean;

  constructor(code: QueueErrorCode, detail?: string) {
    const { sentence, stopsQueue } = QUEUE_ERRORS[code];
    super(detail === undefined ? sentence : `${sentence}: ${detail}`);
    this.code = code;
    this.stopsQueue = stopsQueue;
  }
}

/** By the number native code gives (RingFault), in the order of `RING_FAULTS`. */
const CODES: readonly (QueueErrorCode | undefined)[] = [
  undefined,
  'INVALID_AVAIL_RING_INDEX',
  'INVALID_DESCRIPTOR_INDEX',
  'INVALID_CHAIN',
  'INVALID_DESCRIPTOR_INDEX',
  'INVALID_CHAIN',
  'GUEST_MEMORY',
  'INVALID_CHAIN',
  'INVALID_INDIRECT_DESCRIPTOR',
  'INVALID_INDIRECT_DESCRIPTOR_TABLE',
  'INVALID_INDIRECT_DESCRIPTOR',
  'ADDRESS_OVERFLOW',
  'GUEST_MEMORY',
  'GUEST_MEMORY',
  'DEVICE',
  'INVALID_DESCRIPTOR_INDEX',
  'INVALID_CHAIN',
  'GUEST_MEMORY',
  'INFLIGHT_AREA',
];

/** The code of a ring fault; undefined for none, or one this table does not know. */
export function codeOfFault(fault: number): QueueErrorCode | undefined {
  return CODES[fault];
}
