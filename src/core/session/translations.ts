// Behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM): what workers miss goes to the front-end, what it says
// goes to the workers. Each ring waits for one translation at a time, which bounds what is asked.

import { ADDRESSING_GUEST, ADDRESSING_IO } from '../../native/index.js';
import type { Log } from '../log.js';
import {
  hasFeature,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VIRTIO_F_ACCESS_PLATFORM,
} from '../protocol/index.js';
import type { IoRange, TranslationFault } from '../worker/commands.js';
import type { BackendChannel } from './backend-channel.js';

/** How the addresses of rings and buffers are to be read (VringStart). */
export function addressingOf(features: bigint, protocolFeatures: bigint): number {
  const io = hasFeature(features, VIRTIO_F_ACCESS_PLATFORM) ? ADDRESSING_IO : 0;
  const guest = hasFeature(protocolFeatures, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES)
    ? ADDRESSING_GUEST
    : 0;
  return io | guest;
}

export class Translations {
  readonly #log: Log;
  #channel: BackendChannel | undefined;
  /** Queue index to what its ring waits for. */
  readonly #missing = new Map<number, TranslationFault>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Misses that nobody could be told of, or only on the former channel, are told on this one. */
  useChannel(channel: BackendChannel): void {
    this.#channel = channel;
    for (const { iova, permission } of this.#missing.values()) {
      channel.iotlbMiss(iova, permission);
    }
  }

  /** A ring can't go on: it waits, or was given up for want of a permission. */
  fault(fault: TranslationFault): void {
    const { queue, iova, permission, missing } = fault;
    if (missing) {
      this.#missing.set(queue, fault);
      this.#channel?.iotlbMiss(iova, permission);
      this.#log.debug({ queue, iova: `0x${iova.toString(16)}` }, 'translation asked for');
    } else {
      this.#channel?.iotlbAccessFail(iova, permission);
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
}
