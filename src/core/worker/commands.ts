// What the control thread and a worker say to each other. Plain data; file descriptors as numbers,
// whose ownership moves with the message.

import type { InflightId, LogId, MemoryId } from '../../native/index.js';

/** Queue indices of one device, both ends included: a worker may serve several. */
export interface QueueRange {
  readonly first: number;
  readonly last: number;
}

export interface VringStart {
  readonly queue: number;
  /** The device's own index of it, where that is another. */
  readonly areaQueue?: number;
  readonly size: number;
  readonly descriptorAddress: bigint;
  readonly availableAddress: bigint;
  readonly usedAddress: bigint;
  /** As SET_VRING_BASE has it: of a packed ring the avail and the used position. */
  readonly availBase: number;
  readonly eventIdx: boolean;
  readonly enabled: boolean;
  readonly kickFd: number;
  readonly callFd: number;
  readonly errFd: number;
  readonly memory: MemoryId;
  readonly inflight?: InflightId;
  readonly packed: boolean;
  /** VIRTIO_F_IN_ORDER: chains are shown as used in the order in which they were made available. */
  readonly inOrder?: boolean;
  /** The device only reads: WRITE of a descriptor says nothing. */
  readonly readOnly?: boolean;
  /** ADDRESSING_IO, ADDRESSING_GUEST. */
  readonly addressing: number;
  /** Kicks come as `kickVring`: without kick descriptor the ring is not polled either. */
  readonly inbandKicks: boolean;
  /** Without call descriptor each call is reported as `inbandCall`. */
  readonly inbandCalls: boolean;
  /** Where writes to the used ring are logged; undefined: nowhere. */
  readonly usedLogAddress?: bigint | undefined;
}

/** I/O addresses, both ends included: the last one needs no 2^64. */
export interface IoRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** What a ring needs to go on, or may not do. */
export interface TranslationFault {
  readonly queue: number;
  readonly iova: bigint;
  /** IOTLB_PERM_READ or IOTLB_PERM_WRITE. */
  readonly permission: number;
  /** False: there is a translation, without the permission. */
  readonly missing: boolean;
}

export type WorkerCommand =
  | { readonly kind: 'startVring'; readonly start: VringStart }
  | { readonly kind: 'enableVring'; readonly queue: number; readonly enabled: boolean }
  | { readonly kind: 'kickVring'; readonly queue: number }
  | { readonly kind: 'setCall'; readonly queue: number; readonly fd: number }
  | { readonly kind: 'setErr'; readonly queue: number; readonly fd: number }
  /** The dirty log of a device's vrings, and whether what is written into buffers goes into it.
   *  Once it is answered nothing touches a former log. */
  | {
      readonly kind: 'setLog';
      readonly log: LogId;
      readonly data: boolean;
      readonly queues: QueueRange;
    }
  /** Whether, and where, a running vring's used ring goes into the log. */
  | { readonly kind: 'setUsedLog'; readonly queue: number; readonly address: bigint | undefined }
  /** Answered when nothing of the vring is in flight any more, with the base to go on from.
   *  suspend: the driver hears no more of what is in flight, the inflight area keeps it. */
  | { readonly kind: 'stopVring'; readonly queue: number; readonly suspend?: boolean }
  /** Answered when no ring and no operation of the device uses the former memory. */
  | { readonly kind: 'changeMemory'; readonly memory: MemoryId; readonly queues: QueueRange }
  /** Other translations of I/O addresses, changed in `range`, of the same memory. Answered when no
   *  request in flight uses a former one. */
  | {
      readonly kind: 'changeTranslations';
      readonly memory: MemoryId;
      readonly range: IoRange;
      readonly queues: QueueRange;
    }
  | { readonly kind: 'deviceMessage'; readonly message: unknown; readonly queues: QueueRange }
  | { readonly kind: 'stop' };

/** A command on its way: the answer carries the same number. */
export interface NumberedCommand {
  readonly id: number;
  readonly command: WorkerCommand;
}

export type WorkerReport =
  | { readonly kind: 'ready'; readonly engine: IoEngineName }
  /** result: 0, a base index, or -errno. */
  | { readonly kind: 'answer'; readonly id: number; readonly result: number }
  | { readonly kind: 'queueBroken'; readonly queue: number; readonly fault: number }
  | { readonly kind: 'kickLost'; readonly queue: number }
  /** Sent only while the queue's word in `callsReported` was 0. */
  | { readonly kind: 'inbandCall'; readonly queue: number }
  | { readonly kind: 'translationFault'; readonly fault: TranslationFault }
  /** The device's own code threw; its queues on this worker are stopped. */
  | { readonly kind: 'handlerFailed'; readonly error: string };

export type IoEngineName = 'io_uring' | 'threads';

export interface WorkerData {
  readonly handlerModule: string;
  readonly device?: string | undefined;
  readonly handlerOptions: unknown;
  readonly engine: IoEngineName;
  readonly wakeFd: number;
  readonly pollUs: number;
  readonly operationPollUs?: number | undefined;
  readonly callsReported: SharedArrayBuffer;
}
