// A device behind a VhostBackend and its life cycle, as QEMU's struct vhost_dev has it; which of
// its functions is which method is in docs/reference/vhost-device.md. The trait is enough for the
// cycle itself; what is beyond it needs a back-end that has it (VhostUserFrontend) and is refused
// with INVALID_OPERATION otherwise.

import {
  hasFeature,
  IOTLB_PERM_READ,
  IOTLB_PERM_READ_WRITE,
  IOTLB_PERM_WRITE,
  IOTLB_TYPE_MISS,
  IOTLB_TYPE_UPDATE,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_STATUS,
} from '../protocol/index.js';
import type { BackendRequestHandlers } from './backend-request-port.js';
import { DeviceMemory } from './device-memory.js';
import type { DeviceQueue, QueueSetup } from './device-queue.js';
import { DeviceVrings } from './device-vrings.js';
import { InflightArea } from './inflight-area.js';
import type { MemoryRegionInfo } from './vhost-backend.js';
import {
  methodOf,
  negotiated,
  requireState,
  type VhostDeviceBackend,
} from './vhost-device-backend.js';

/** What a VhostDevice makes use of. */
const PROTOCOL_FEATURES_USED =
  VHOST_USER_PROTOCOL_F_MQ |
  VHOST_USER_PROTOCOL_F_LOG_SHMFD |
  VHOST_USER_PROTOCOL_F_REPLY_ACK |
  VHOST_USER_PROTOCOL_F_BACKEND_REQ |
  VHOST_USER_PROTOCOL_F_CONFIG |
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
  VHOST_USER_PROTOCOL_F_RESET_DEVICE |
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
  VHOST_USER_PROTOCOL_F_STATUS;

/** VIRTIO 1.3 §2.1: device status bits. */
const STATUS_ACKNOWLEDGE = 1;
const STATUS_DRIVER = 2;
const STATUS_DRIVER_OK = 4;
const STATUS_FEATURES_OK = 8;

/** A translation of an I/O address, for a guest with an IOMMU. */
export interface IotlbEntry {
  readonly iova: bigint;
  readonly userAddress: bigint;
  readonly sizeBytes: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
}

export interface VhostDeviceOptions {
  readonly backend: VhostDeviceBackend;
  /** Virtqueues this VhostDevice drives. */
  readonly queueCount: number;
  /** The first of them; others belong to another VhostDevice (a net device has one each pair). */
  readonly firstQueue?: number;
  /** Fails init() when GET_QUEUE_NUM answers less; its unit is the back-end's. */
  readonly queueNumMin?: number;
  /** Takes these out of the protocol features used. */
  readonly withoutProtocolFeatures?: bigint;
  /** Adds protocol features; their requests are the caller's to serve. */
  readonly moreProtocolFeatures?: bigint;
  /** The IOMMU: the translation of an address, or undefined when the guest has none for it. */
  readonly translate?: (iova: bigint, write: boolean) => IotlbEntry | undefined;
  /** Requests of the back-end beyond config changes and IOTLB misses. */
  readonly backendRequests?: BackendRequestHandlers;
}

/** What the driver has set up when it says DRIVER_OK. */
export interface VhostDeviceSetup {
  readonly memory: readonly MemoryRegionInfo[];
  readonly queues: readonly QueueSetup[];
}

export class VhostDevice {
  readonly backend: VhostDeviceBackend;
  /** What the back-end offers. */
  features = 0n;
  /** What GET_QUEUE_NUM answered; queueCount without MQ. */
  queueNum: number;
  started = false;
  readonly #options: VhostDeviceOptions;
  readonly #memory: DeviceMemory;
  readonly #vrings: DeviceVrings;
  #configNotifier: (() => void | Promise<void>) | undefined;

  private constructor(options: VhostDeviceOptions) {
    const { backend, queueCount, firstQueue = 0 } = options;
    this.backend = backend;
    this.#options = options;
    this.#memory = new DeviceMemory(backend);
    this.#vrings = new DeviceVrings(backend, this.#memory, {
      first: firstQueue,
      count: queueCount,
    });
    this.queueNum = queueCount;
  }

  get queues(): readonly DeviceQueue[] {
    return this.#vrings.queues;
  }

  /** What ackFeatures() has taken into use. */
  get ackedFeatures(): bigint {
    return this.#vrings.ackedFeatures;
  }

  /** Connects device and back-end: negotiates what belongs to the transport and masks all queues.
   *  On failure nothing is left but the back-end, which stays the caller's. */
  static async init(options: VhostDeviceOptions): Promise<VhostDevice> {
    const device = new VhostDevice(options);
    try {
      await device.#negotiate();
      await device.backend.setOwner();
      device.features = await device.backend.getFeatures();
      for (const queue of device.queues) {
        await device.backend.setVringCall(queue.index, queue.maskedFd);
      }
      return device;
    } catch (error) {
      device.#vrings.close();
      throw error;
    }
  }

  /** Lets go of everything, the back-end's connection too. After stop(). */
  cleanup(): void {
    this.#vrings.close();
    this.backend.close?.();
  }

  /** From here on the driver's kicks go to the back-end. Before start(). */
  enableNotifiers(): void {
    for (const queue of this.queues) {
      queue.enableNotifier();
    }
  }

  /** After stop(). Throws INVALID_OPERATION while the back-end still listens to them. */
  disableNotifiers(): void {
    requireState(!this.started, 'notifiers of a running device');
    for (const queue of this.queues) {
      queue.disableNotifier();
    }
  }

  /** Hands memory and queues to the back-end, as acknowledged by ackFeatures(), and lets it run.
   *  INVALID_OPERATION without notifiers or when started already; on failure it is stopped. */
  async start({ memory, queues }: VhostDeviceSetup): Promise<void> {
    requireState(!this.started, 'started already');
    requireState(queues.length <= this.queues.length, `${queues.length} queues`);
    requireState(
      this.queues.every(({ kickFd }) => kickFd !== undefined),
      'notifiers are not enabled',
    );
    await this.#agree();
    await this.#memory.set(memory);
    this.started = true;
    try {
      await this.#vrings.start(queues);
      await this.#addStatus(STATUS_DRIVER_OK);
    } catch (error) {
      await this.stop().catch(() => {});
      throw error;
    }
  }

  /** Stops all queues; where each stopped, which is where the next start() goes on. Rejects with
   *  what the back-end failed at only after all is stopped on this side. */
  async stop(): Promise<number[]> {
    requireState(this.started, 'not started');
    this.started = false;
    const { bases, failure } = await this.#vrings.stop();
    if (failure !== undefined) {
      throw failure;
    }
    if (this.#has(VHOST_USER_PROTOCOL_F_STATUS)) {
      await methodOf(this.backend, 'setStatus')(0);
    }
    return bases;
  }

  /** RESET_DEVICE, where negotiated: the device's own state back to its beginning. */
  async reset(): Promise<void> {
    if (this.#has(VHOST_USER_PROTOCOL_F_RESET_DEVICE)) {
      await methodOf(this.backend, 'resetDevice')();
    }
    for (const queue of this.queues) {
      queue.base = 0;
    }
  }

  // Features.

  /** `features` without those of `bits` the back-end does not offer; others are left alone. */
  getFeatures(bits: readonly bigint[], features: bigint): bigint {
    return bits.reduce(
      (kept, bit) => (hasFeature(this.features, bit) ? kept : kept & ~bit),
      features,
    );
  }

  /** Takes those of `bits` that the driver has acknowledged into use with the next start(). */
  ackFeatures(bits: readonly bigint[], features: bigint): void {
    this.#vrings.ackedFeatures = bits.reduce(
      (acked, bit) => (hasFeature(features, bit) ? acked | bit : acked),
      this.features & VHOST_USER_F_PROTOCOL_FEATURES,
    );
  }

  // Config space.

  /** The first `size` bytes of the config space. */
  async getConfig(size: number): Promise<Uint8Array> {
    return await methodOf(this.backend, 'getConfig')(0, size);
  }

  async setConfig(bytes: Uint8Array, offset: number, flags = 0): Promise<void> {
    await methodOf(this.backend, 'setConfig')(offset, bytes, flags);
  }

  /** Whom to call when the device has changed its config space. Without one the back-end is told
   *  that nobody cares. */
  setConfigNotifier(notifier: (() => void | Promise<void>) | undefined): void {
    this.#configNotifier = notifier;
  }

  // Interrupts.

  /** Masks or unmasks the call of a queue; what comes while masked is kept for virtqueuePending. */
  async virtqueueMask(index: number, masked: boolean): Promise<void> {
    await this.#vrings.mask(index, masked);
  }

  /** Was there a call while masked? To be asked after unmasking; true once. */
  virtqueuePending(index: number): boolean {
    return this.#vrings.queue(index).takePending();
  }

  // Memory.

  /** How many regions more the back-end can take. */
  get freeMemorySlots(): number {
    return this.#memory.freeSlots;
  }

  /** Changes the guest's memory while the device runs. */
  async addMemory(region: MemoryRegionInfo): Promise<void> {
    await this.#memory.set([...this.#memory.regions, region]);
  }

  async removeMemory({ guestAddress }: Pick<MemoryRegionInfo, 'guestAddress'>): Promise<void> {
    await this.#memory.set(
      this.#memory.regions.filter((region) => region.guestAddress !== guestAddress),
    );
  }

  // Dirty log.

  /** Makes the back-end log what it writes to guest memory, buffers and used rings. Needs LOG_SHMFD
   *  on a vhost-user transport, and a device that was started. */
  async startLog(): Promise<void> {
    requireState(this.started, 'not started');
    await this.#vrings.startLog();
  }

  /** Guest addresses of the pages written since the last call. */
  syncLog(): bigint[] {
    return this.#vrings.takeLog();
  }

  /** Ends logging; the pages written since the last syncLog(). */
  async stopLog(): Promise<bigint[]> {
    return await this.#vrings.stopLog();
  }

  // IOMMU.

  /** Sends the translation of an address the back-end has missed. INVALID_OPERATION when there is
   *  none: the access was the driver's mistake. */
  async iotlbMiss(iova: bigint, write: boolean): Promise<void> {
    const entry = this.#options.translate?.(iova, write);
    requireState(
      entry !== undefined && (write ? entry.writable : entry.readable),
      `no translation of I/O address 0x${iova.toString(16)}`,
    );
    const { readable, writable, ...range } = entry as IotlbEntry;
    const writePerm = readable ? IOTLB_PERM_READ_WRITE : IOTLB_PERM_WRITE;
    const perm = writable ? writePerm : IOTLB_PERM_READ;
    await methodOf(this.backend, 'sendIotlb')({ ...range, perm, type: IOTLB_TYPE_UPDATE });
  }

  // Inflight area.

  /** Before getInflight(): the back-end must know the ring format to lay the area out. */
  async prepareInflight(): Promise<void> {
    if (this.#has(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)) {
      await this.backend.setFeatures(this.#vrings.featuresToSet);
    }
  }

  /** An area from the back-end; undefined when it has none to give. */
  async getInflight(queueSize: number): Promise<InflightArea | undefined> {
    if (!this.#has(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)) {
      return undefined;
    }
    const { area, fd } = await methodOf(this.backend, 'getInflightFd')(
      this.queues.length,
      queueSize,
    );
    return new InflightArea(area, fd);
  }

  /** Before start(), and after each reconnect: the area requests are recorded in. */
  async setInflight({ layout, fd }: InflightArea): Promise<void> {
    if (this.#has(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)) {
      await methodOf(this.backend, 'setInflightFd')({ area: layout, fd });
    }
  }

  async #negotiate(): Promise<void> {
    const { backend } = this;
    const { withoutProtocolFeatures = 0n, moreProtocolFeatures = 0n } = this.#options;
    this.features = await backend.getFeatures();
    const known = hasFeature(this.features, VHOST_USER_F_PROTOCOL_FEATURES);
    if (!known || backend.setProtocolFeatures === undefined) {
      return;
    }
    const offered = await methodOf(this.backend, 'getProtocolFeatures')();
    const used = (PROTOCOL_FEATURES_USED | moreProtocolFeatures) & ~withoutProtocolFeatures;
    await backend.setProtocolFeatures(offered & used);
    if (this.#has(VHOST_USER_PROTOCOL_F_MQ)) {
      this.queueNum = Number(await methodOf(this.backend, 'getQueueNum')());
    }
    const { queueNumMin = 0 } = this.#options;
    requireState(this.queueNum >= queueNumMin, `${this.queueNum} queues, needed ${queueNumMin}`);
    await this.#memory.init(this.#has(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
    if (this.#has(VHOST_USER_PROTOCOL_F_BACKEND_REQ)) {
      await methodOf(this.backend, 'serveBackendRequests')(this.#handlers());
    }
  }

  #handlers(): BackendRequestHandlers {
    return {
      ...this.#options.backendRequests,
      configChanged: () => {
        requireState(this.#configNotifier !== undefined, 'no config notifier');
        return this.#configNotifier?.();
      },
      iotlb: async ({ iova, perm, type }) => {
        // A failed access (type 4) is the guest's IOMMU fault: nothing here can mend it.
        requireState(type === IOTLB_TYPE_MISS, `IOTLB message of type ${type}`);
        await this.iotlbMiss(iova, (perm & IOTLB_PERM_WRITE) !== 0);
      },
    };
  }

  /** Features, with the status that says they are final (VIRTIO 1.3 §3.1.1). */
  async #agree(): Promise<void> {
    await this.#addStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    await this.backend.setFeatures(this.#vrings.featuresToSet);
    await this.#addStatus(STATUS_FEATURES_OK);
    if (this.#has(VHOST_USER_PROTOCOL_F_STATUS)) {
      const status = await methodOf(this.backend, 'getStatus')();
      requireState((status & STATUS_FEATURES_OK) !== 0, 'the device refused the features');
    }
  }

  async #addStatus(bits: number): Promise<void> {
    if (this.#has(VHOST_USER_PROTOCOL_F_STATUS)) {
      const status = await methodOf(this.backend, 'getStatus')();
      await methodOf(this.backend, 'setStatus')(status | bits);
    }
  }

  #has(protocolFeature: bigint): boolean {
    return negotiated(this.backend, protocolFeature);
  }
}
