// What a device asks of the front-end, through whatever session and channel there is now. The rows
// of the request table say what must be negotiated; the rest of the rules is here.

import type { BackendRequests, NotifierArea, ShmemMapping } from '../device.js';
import {
  type BackendPayloadOf,
  type BackendRequestName,
  SHMEM_MAP_FLAG_WRITABLE,
  sharedObjectCodec,
  VhostUserError,
} from '../protocol/index.js';

/** The smallest page there is; a front-end with larger ones refuses what does not fit them. */
const PAGE_BYTES = 4096n;

/** The part of a session that asks. */
export interface BackendAsker {
  requestFrontend<N extends BackendRequestName>(
    name: N,
    payload: BackendPayloadOf<N>,
    fds?: readonly number[],
  ): Promise<number | undefined>;
  configChanged(): Promise<void>;
}

export class SessionBackendRequests implements BackendRequests {
  readonly #asker: () => BackendAsker | undefined;

  constructor(asker: () => BackendAsker | undefined) {
    this.#asker = asker;
  }

  async configChanged(): Promise<void> {
    await this.#asker()?.configChanged();
  }

  async sharedObjectAdd(uuid: Uint8Array): Promise<void> {
    await this.#ask('SHARED_OBJECT_ADD', sharedObjectCodec.decode(uuid));
  }

  async sharedObjectRemove(uuid: Uint8Array): Promise<void> {
    await this.#ask('SHARED_OBJECT_REMOVE', sharedObjectCodec.decode(uuid));
  }

  async sharedObjectLookup(uuid: Uint8Array): Promise<number | undefined> {
    try {
      return await this.#ask('SHARED_OBJECT_LOOKUP', sharedObjectCodec.decode(uuid));
    } catch (error) {
      if (error instanceof VhostUserError && error.code === 'PEER_REFUSED') {
        return undefined;
      }
      throw error;
    }
  }

  async shmemMap({ writable, ...range }: ShmemMapping, fd: number): Promise<void> {
    requirePages(range.fdOffsetBytes, range.shmemOffsetBytes, range.lengthBytes);
    const flags = writable ? SHMEM_MAP_FLAG_WRITABLE : 0n;
    await this.#ask('SHMEM_MAP', { ...range, flags }, [fd]);
  }

  async shmemUnmap(
    range: Pick<ShmemMapping, 'shmemId' | 'shmemOffsetBytes' | 'lengthBytes'>,
  ): Promise<void> {
    requirePages(range.shmemOffsetBytes, range.lengthBytes);
    await this.#ask('SHMEM_UNMAP', { ...range, fdOffsetBytes: 0n, flags: 0n });
  }

  async hostNotifier(queue: number, notifier: NotifierArea | undefined): Promise<void> {
    if (notifier === undefined) {
      const none = { index: queue, hasFd: false, offsetBytes: 0n, sizeBytes: 0n };
      await this.#ask('VRING_HOST_NOTIFIER_MSG', none);
      return;
    }
    const { fd, offsetBytes, sizeBytes } = notifier;
    requirePages(offsetBytes, sizeBytes);
    const area = { index: queue, hasFd: true, offsetBytes, sizeBytes };
    await this.#ask('VRING_HOST_NOTIFIER_MSG', area, [fd]);
  }

  async #ask<N extends BackendRequestName>(
    name: N,
    payload: BackendPayloadOf<N>,
    fds: readonly number[] = [],
  ): Promise<number | undefined> {
    const asker = this.#asker();
    if (asker === undefined) {
      throw new VhostUserError('CHANNEL_MISSING', 'no front-end is connected');
    }
    return await asker.requestFrontend(name, payload, fds);
  }
}

/** A wrong one is the device's mistake, not the front-end's refusal. */
function requirePages(...bytes: readonly bigint[]): void {
  const wrong = bytes.find((value) => value % PAGE_BYTES !== 0n);
  if (wrong !== undefined) {
    throw new RangeError(`${wrong} bytes are no whole pages`);
  }
}
