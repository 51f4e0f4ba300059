// Behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM): what workers miss goes to the front-end, what it says
// goes to the workers. Each ring waits for one translation at a time, which bounds what is asked.

import { ADDRESSING_GUEST, ADDRESSING_IO } from '../../native/index.js';
import type { Log } from '../log.js';
import {
  hasFeature,
  IOTLB_TYPE_ACCESS_FAIL,
  IOTLB_TYPE_MISS,
  type IotlbMessage,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VIRTIO_F_ACCESS_PLATFORM,
} from '../protocol/index.js';
import type { IoRange, TranslationFault } from '../worker/commands.js';

/** How the addresses of rings and buffers are to be read (VringStart). */
export function addressingOf(features: bigint, protocolFeatures: bigint): number {
  const io = hasFeature(features, VIRTIO_F_ACCESS_PLATFORM) ? ADDRESSING_IO : 0;
  const guest = hasFeature(protocolFeatures, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES)
    ? ADDRESSING_GUEST
    : 0;
  return io | guest;
}

/** Where the front-end is told; what becomes of it is not waited for. */
export type TellFrontend = (message: IotlbMessage) => void;

export class Translations {
  readonly #log: Log;
  readonly #tell: TellFrontend;
  /** Queue index to what its ring waits for. */
  readonly #missing = new Map<number, TranslationFault>();

  constructor(log: Log, tell: TellFrontend) {
    this.#log = log;
    this.#tell = tell;
  }

  /** There is another channel: misses that nobody could be told of, or only on the former one, are
   *  told there. */
  channelOpened(): void {
    for (const fault of this.#missing.values()) {
      this.#say(fault, IOTLB_TYPE_MISS);
    }
  }

  /** A ring can't go on: it waits, or was given up for want of a permission. */
  fault(fault: TranslationFault): void {
    const { queue, iova, missing } = fault;
    if (missing) {
      this.#missing.set(queue, fault);
      this.#say(fault, IOTLB_TYPE_MISS);
      this.#log.debug({ queue, iova: `0x${iova.toString(16)}` }, 'translation asked for');
    } else {
      this.#say(fault, IOTLB_TYPE_ACCESS_FAIL);
    }
  }

  /** The front-end said something about a range: rings that waited for it look again. */
  changed({ first, last }: IoRange): void {
    for (const [queue, { iova }] of this.#missing) {
      if (first <= iova && iova <= last) {
        this.#missing.delete(queue);
      }
    }
  }

  /** A stopped ring waits for nothing. */
  forget(queue: number): void {
    this.#missing.delete(queue);
  }

  #say({ iova, permission }: TranslationFault, type: number): void {
    this.#tell({ iova, sizeBytes: 0n, userAddress: 0n, perm: permission, type });
  }
}
