// A VhostDevice with memory and driver rings of this process: what a VMM would be around it.

import {
  DriverRing,
  SharedMemory,
  VhostDevice,
  type VhostDeviceOptions,
  VhostUserFrontend,
} from '../../src/core/frontend/index.js';
import {
  hasFeature,
  VHOST_F_LOG_ALL,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
} from '../../src/core/protocol/index.js';
import { type DriverQueue, type DriverTransport, signalled } from '../../src/testing/index.js';

export interface DeviceRigOptions {
  readonly socket: string;
  readonly queueCount?: number;
  readonly queueSize?: number;
  readonly memoryBytes?: number;
  /** Virtio features the driver knows beyond those of the ring; the device's own. */
  readonly driverFeatures?: bigint;
  readonly device?: Partial<VhostDeviceOptions>;
}

/** Of the ring, what DriverRing can do. */
const RING_FEATURES = [VIRTIO_F_VERSION_1, VIRTIO_F_RING_EVENT_IDX, VIRTIO_F_RING_INDIRECT_DESC];
/** Of the ring, what DriverRing can't do; LOG_ALL is VhostDevice's own. */
const NOT_TAKEN = VHOST_F_LOG_ALL | VIRTIO_F_RING_PACKED | VIRTIO_F_IN_ORDER;

export class DeviceRig implements DriverTransport {
  readonly device: VhostDevice;
  readonly memory: SharedMemory;
  readonly rings: DriverRing[] = [];
  readonly #options: DeviceRigOptions;

  private constructor(device: VhostDevice, options: DeviceRigOptions) {
    this.device = device;
    this.#options = options;
    this.memory = new SharedMemory({ sizeBytes: options.memoryBytes ?? 4 << 20 });
  }

  /** Connected, features acknowledged, notifiers enabled; not started. */
  static async connect(options: DeviceRigOptions): Promise<DeviceRig> {
    const backend = VhostUserFrontend.connect(options.socket);
    try {
      const { queueCount = 1 } = options;
      const device = await VhostDevice.init({ backend, queueCount, ...options.device });
      const driver = (options.driverFeatures ?? 0n) & ~NOT_TAKEN;
      const bits = Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit));
      const own = bits.filter((bit) => (driver & bit) !== 0n);
      const wanted = [...RING_FEATURES, ...own];
      const all = wanted.reduce((sum, bit) => sum | bit, 0n);
      device.ackFeatures(wanted, device.getFeatures(wanted, all));
      device.enableNotifiers();
      return new DeviceRig(device, options);
    } catch (error) {
      backend.close();
      throw error;
    }
  }

  /** Starts with fresh rings, or with those of the last start. */
  async start(): Promise<void> {
    const { queueSize = 128 } = this.#options;
    if (this.rings.length === 0) {
      const eventIdx = hasFeature(this.device.ackedFeatures, VIRTIO_F_RING_EVENT_IDX);
      for (const _ of this.device.queues) {
        this.rings.push(new DriverRing(this.memory, { size: queueSize, eventIdx }));
      }
    }
    await this.device.start({
      memory: [{ ...this.memory.region, mmapHandle: this.memory.fd }],
      queues: this.rings.map((ring) => ({
        size: ring.size,
        descTableAddress: this.memory.guestAddress(ring.descriptorOffset),
        availRingAddress: this.memory.guestAddress(ring.availOffset),
        usedRingAddress: this.memory.guestAddress(ring.usedOffset),
        usedIndex: () => ring.publishedUsed,
      })),
    });
  }

  queue(index: number): DriverQueue {
    const queue = this.device.queues[index];
    const ring = this.rings[index];
    if (queue === undefined || ring === undefined) {
      throw new RangeError(`there is no queue ${index}`);
    }
    return { index, driver: ring, callFd: queue.callFd, kick: () => queue.kick(), signalled };
  }

  async stop(): Promise<void> {
    await this.device.stop();
    this.device.disableNotifiers();
    this.close();
  }

  close(): void {
    this.device.cleanup();
    this.memory.close();
  }
}
