// A guest that outlives its back-ends: memory, rings, notification descriptors and inflight area stay
// here, and each new back-end gets them as they are.

import {
  type InflightFd,
  SharedMemory,
  type SharedMemoryOptions,
  VhostUserFrontend,
} from '../../src/core/frontend/index.js';
import {
  hasFeature,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_PACKED,
} from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { TestQueue } from '../../src/testing/index.js';

/** The rings here are split, with the guest's own addresses. */
const NOT_TAKEN = VIRTIO_F_RING_PACKED | VIRTIO_F_ACCESS_PLATFORM;

export interface LastingGuestOptions extends SharedMemoryOptions {
  readonly queues: number;
  readonly queueSize: number;
  /** First index of the rings; near their end, so that they wrap. */
  readonly base?: number;
  readonly withoutFeatures?: bigint;
}

const DEFAULT_BASE = 65_500;

export class LastingGuest {
  readonly memory: SharedMemory;
  readonly queues: readonly TestQueue[];
  frontend: VhostUserFrontend | undefined;
  inflight: InflightFd | undefined;
  readonly #options: LastingGuestOptions;

  constructor(options: LastingGuestOptions) {
    this.#options = options;
    this.memory = new SharedMemory(options);
    const { queues, queueSize: size, base = DEFAULT_BASE, withoutFeatures = 0n } = options;
    const eventIdx = !hasFeature(withoutFeatures, VIRTIO_F_RING_EVENT_IDX);
    this.queues = Array.from(
      { length: queues },
      (_, index) => new TestQueue(this.memory, index, { size, base, eventIdx }),
    );
  }

  /** Connects and says everything QEMU says after a reconnect. `base`: what SET_VRING_BASE says. */
  async connect(socket: string, base = (queue: TestQueue) => queue.ring.usedIndex): Promise<void> {
    await this.negotiate(socket);
    for (const queue of this.queues) {
      await this.startQueue(queue, base(queue));
    }
    for (const { index } of this.queues) {
      await this.connected.setVringEnable(index, true);
    }
  }

  /** As far as the memory table; the area is fetched the first time and kept. */
  async negotiate(socket: string): Promise<void> {
    const frontend = VhostUserFrontend.connect(socket);
    this.frontend = frontend;
    const offered = await frontend.getFeatures();
    const protocol = await frontend.getProtocolFeatures();
    await frontend.setProtocolFeatures(protocol & ~VHOST_USER_PROTOCOL_F_GPA_ADDRESSES);
    await frontend.setOwner();
    await frontend.setFeatures(offered & ~NOT_TAKEN & ~(this.#options.withoutFeatures ?? 0n));
    const { queues, queueSize } = this.#options;
    this.inflight ??= await frontend.getInflightFd(queues, queueSize);
    await frontend.setInflightFd(this.inflight);
    await frontend.setMemTable([this.memory.region], [this.memory.fd]);
  }

  async startQueue({ index, ring, callFd, errFd, kickFd }: TestQueue, base: number): Promise<void> {
    const { connected: frontend, memory } = this;
    await frontend.setVringNum(index, ring.size);
    await frontend.setVringBase(index, base);
    await frontend.setVringAddr({
      index,
      flags: 0,
      descriptorAddress: memory.userAddress(ring.descriptorOffset),
      availableAddress: memory.userAddress(ring.availOffset),
      usedAddress: memory.userAddress(ring.usedOffset),
      logAddress: 0n,
    });
    await frontend.setVringErr(index, errFd);
    await frontend.setVringCall(index, callFd);
    await frontend.setVringKick(index, kickFd);
  }

  get connected(): VhostUserFrontend {
    if (this.frontend === undefined) {
      throw new Error('not connected');
    }
    return this.frontend;
  }

  /** The area as it is in memory; undefined before the first connection. */
  areaView(): DataView {
    if (this.inflight === undefined) {
      throw new Error('no inflight area yet');
    }
    const { area, fd } = this.inflight;
    const mapped = native.mapShared(fd, 0, Number(area.mmapSizeBytes));
    return new DataView(mapped as ArrayBuffer);
  }

  disconnect(): void {
    this.frontend?.close();
    this.frontend = undefined;
  }

  close(): void {
    this.disconnect();
    if (this.inflight !== undefined) {
      native.fdClose(this.inflight.fd);
    }
    for (const queue of this.queues) {
      queue.close();
    }
    this.memory.close();
  }
}
