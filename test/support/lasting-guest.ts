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
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_PACKED,
} from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { TestQueue } from '../../src/testing/index.js';

export interface LastingGuestOptions extends SharedMemoryOptions {
  readonly queues: number;
  readonly queueSize: number;
  readonly packed?: boolean;
  /** VIRTIO_F_IN_ORDER, when the device offers it. */
  readonly inOrder?: boolean;
  /** First index of the rings; near their end, so that they wrap. Packed: and wrap counter. */
  readonly base?: number;
  readonly withoutFeatures?: bigint;
}

const DEFAULT_BASE = 65_500;
const defaultPackedBase = (queueSize: number) => 0x8000 | (queueSize - 5);

export class LastingGuest {
  readonly memory: SharedMemory;
  readonly queues: TestQueue[];
  frontend: VhostUserFrontend | undefined;
  inflight: InflightFd | undefined;
  readonly #options: LastingGuestOptions;

  constructor(options: LastingGuestOptions) {
    this.#options = options;
    this.memory = new SharedMemory(options);
    const { queues, queueSize: size, packed = false, inOrder = false } = options;
    const { withoutFeatures = 0n } = options;
    const base = options.base ?? (packed ? defaultPackedBase(size) : DEFAULT_BASE);
    const eventIdx = !hasFeature(withoutFeatures, VIRTIO_F_RING_EVENT_IDX);
    const ring = { size, base, eventIdx, packed, inOrder };
    this.queues = Array.from(
      { length: queues },
      (_, index) => new TestQueue(this.memory, index, ring),
    );
  }

  /** Connects and says everything QEMU says after a reconnect. `base`: what SET_VRING_BASE says. */
  async connect(socket: string, base = this.#usualBase): Promise<void> {
    await this.negotiate(socket);
    for (const queue of this.queues) {
      await this.startQueue(queue, base(queue));
    }
    for (const { index } of this.queues) {
      await this.connected.setVringEnable(index, true);
    }
  }

  /** QEMU's for a split ring: the used index. */
  readonly #usualBase = (queue: TestQueue): number =>
    this.#options.packed ? queue.driver.resumeBase : queue.ring.usedIndex;

  /** As far as the memory table; the area is fetched the first time and kept. */
  async negotiate(socket: string): Promise<void> {
    const frontend = VhostUserFrontend.connect(socket);
    this.frontend = frontend;
    const offered = await frontend.getFeatures();
    const protocol = await frontend.getProtocolFeatures();
    await frontend.setProtocolFeatures(protocol & ~VHOST_USER_PROTOCOL_F_GPA_ADDRESSES);
    await frontend.setOwner();
    const { queues, queueSize, packed, inOrder, withoutFeatures = 0n } = this.#options;
    const kind = (packed ? 0n : VIRTIO_F_RING_PACKED) | (inOrder ? 0n : VIRTIO_F_IN_ORDER);
    await frontend.setFeatures(offered & ~(withoutFeatures | kind | VIRTIO_F_ACCESS_PLATFORM));
    this.inflight ??= await frontend.getInflightFd(queues, queueSize);
    await frontend.setInflightFd(this.inflight);
    await frontend.setMemTable([this.memory.region], [this.memory.fd]);
  }

  async startQueue(queue: TestQueue, base: number): Promise<void> {
    const { index, driver: ring, callFd, errFd, kickFd } = queue;
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

  /** VIRTIO 1.3 §2.6.1: a stopped queue gets another ring, which begins where rings do. */
  async renew(index: number): Promise<void> {
    this.queues[index]?.close();
    const { queueSize: size, packed = false, inOrder = false } = this.#options;
    const { withoutFeatures = 0n } = this.#options;
    const eventIdx = !hasFeature(withoutFeatures, VIRTIO_F_RING_EVENT_IDX);
    const queue = new TestQueue(this.memory, index, { size, eventIdx, packed, inOrder });
    this.queues[index] = queue;
    await this.startQueue(queue, queue.driver.resumeBase);
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
