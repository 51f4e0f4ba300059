// A front-end for tests: negotiates as QEMU does, shares memory, sets up rings, waits for calls.

import {
  type AddressKind,
  createRingDriver,
  DriverRing,
  PackedDriverRing,
  type RingDriver,
  type RingDriverOptions,
  SharedMemory,
  VhostUserFrontend,
} from '../core/frontend/index.js';
import {
  hasFeature,
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_PACKED,
} from '../core/protocol/index.js';
import { check, native, READABLE, type Watcher } from '../native/index.js';

export interface TestFrontendOptions {
  readonly socket: string;
  /** A connection that was accepted, when the back-end is the one that connects. */
  readonly connectionFd?: number;
  readonly queues?: number;
  readonly queueSize?: number;
  /** Packed rings, when the device offers them. */
  readonly packed?: boolean;
  /** VIRTIO_F_IN_ORDER, when the device offers it. */
  readonly inOrder?: boolean;
  /** First index of every ring; odd on purpose, so that indices wrap in ordinary tests. Of a packed
   *  ring index and wrap counter. */
  readonly base?: number;
  readonly memoryBytes?: number;
  /** A file of memoryBytes to share instead of a new memfd. */
  readonly memoryFd?: number;
  /** Only with 'guest' is GPA_ADDRESSES taken, only with 'io' ACCESS_PLATFORM. */
  readonly addresses?: AddressKind;
  /** Feature bits not to take. */
  readonly withoutFeatures?: bigint;
  readonly withoutProtocolFeatures?: bigint;
}

const DEFAULT_QUEUE_SIZE = 128;
const DEFAULT_BASE = 65_500;
/** With the wrap counter of a second round; near the end of the ring. */
const defaultPackedBase = (queueSize: number) => Math.max(queueSize - 5, 0);
const DEFAULT_MEMORY_BYTES = 32 << 20;
const CALL_TIMEOUT_MS = 20_000;

/** Waits for a signal on an eventfd and takes it; false after the limit. */
export async function signalled(fd: number, timeoutMs = CALL_TIMEOUT_MS): Promise<boolean> {
  if (native.eventfdRead(fd) > 0) {
    return true;
  }
  let watcher: Watcher | undefined;
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    watcher = new native.Watcher(fd, () => resolve());
    watcher.watch(READABLE);
    timer = setTimeout(resolve, timeoutMs);
  });
  clearTimeout(timer);
  watcher?.close();
  return native.eventfdRead(fd) > 0;
}

/** One ring with its three descriptors. */
export class TestQueue {
  readonly index: number;
  readonly driver: RingDriver;
  readonly kickFd = check('eventfd', native.eventfdCreate(0));
  readonly callFd = check('eventfd', native.eventfdCreate(0));
  readonly errFd = check('eventfd', native.eventfdCreate(0));

  constructor(memory: SharedMemory, index: number, options: RingDriverOptions) {
    this.index = index;
    this.driver = createRingDriver(memory, options);
  }

  /** For what only one kind of ring has. */
  get ring(): DriverRing {
    if (!(this.driver instanceof DriverRing)) {
      throw new TypeError(`queue ${this.index} has a packed ring`);
    }
    return this.driver;
  }

  get packedRing(): PackedDriverRing {
    if (!(this.driver instanceof PackedDriverRing)) {
      throw new TypeError(`queue ${this.index} has a split ring`);
    }
    return this.driver;
  }

  kick(): void {
    native.eventfdSignal(this.kickFd);
  }

  /** Waits for the device to signal a descriptor; false after the limit. */
  signalled(fd: number, timeoutMs = CALL_TIMEOUT_MS): Promise<boolean> {
    return signalled(fd, timeoutMs);
  }

  close(): void {
    for (const fd of [this.kickFd, this.callFd, this.errFd]) {
      native.fdClose(fd);
    }
  }
}

export class TestFrontend {
  readonly frontend: VhostUserFrontend;
  readonly memory: SharedMemory;
  readonly queues: TestQueue[] = [];
  features = 0n;
  readonly #options: TestFrontendOptions;

  constructor(options: TestFrontendOptions) {
    this.#options = options;
    this.frontend =
      options.connectionFd === undefined
        ? VhostUserFrontend.connect(options.socket)
        : new VhostUserFrontend(options.connectionFd);
    this.memory = new SharedMemory({
      sizeBytes: options.memoryBytes ?? DEFAULT_MEMORY_BYTES,
      ...(options.memoryFd === undefined ? {} : { fd: options.memoryFd }),
      ...(options.addresses === undefined ? {} : { addresses: options.addresses }),
    });
  }

  /** Connected, negotiated, rings running. */
  static async start(options: TestFrontendOptions): Promise<TestFrontend> {
    const started = new TestFrontend(options);
    await started.negotiate();
    await started.startQueues();
    return started;
  }

  /** Features and memory, as QEMU orders them. */
  async negotiate(): Promise<void> {
    const { frontend } = this;
    const offered = await frontend.getFeatures();
    const protocol = await frontend.getProtocolFeatures();
    const { addresses } = this.memory;
    const noGuest = addresses === 'guest' ? 0n : VHOST_USER_PROTOCOL_F_GPA_ADDRESSES;
    const noIo = addresses === 'io' ? 0n : VIRTIO_F_ACCESS_PLATFORM;
    const { withoutProtocolFeatures = 0n, withoutFeatures = 0n } = this.#options;
    await frontend.setProtocolFeatures(protocol & ~withoutProtocolFeatures & ~noGuest);
    await frontend.setOwner();
    const kind = this.#options.packed ? 0n : VIRTIO_F_RING_PACKED;
    const order = this.#options.inOrder ? 0n : VIRTIO_F_IN_ORDER;
    // No front-end logs before it migrates.
    this.features = offered & ~(withoutFeatures | VHOST_F_LOG_ALL | kind | order | noIo);
    await frontend.setFeatures(this.features);
    await frontend.setMemTable([this.memory.region], [this.memory.fd]);
  }

  async startQueues(): Promise<void> {
    const { queues = 1, queueSize = DEFAULT_QUEUE_SIZE } = this.#options;
    const packed = hasFeature(this.features, VIRTIO_F_RING_PACKED);
    const base = this.#options.base ?? (packed ? defaultPackedBase(queueSize) : DEFAULT_BASE);
    const eventIdx = hasFeature(this.features, VIRTIO_F_RING_EVENT_IDX);
    const inOrder = hasFeature(this.features, VIRTIO_F_IN_ORDER);
    const ring = { size: queueSize, base, eventIdx, packed, inOrder };
    for (let index = 0; index < queues; index++) {
      const queue = new TestQueue(this.memory, index, ring);
      this.queues.push(queue);
      await this.startQueue(queue, queue.driver.resumeBase);
    }
    if (hasFeature(this.features, VHOST_USER_F_PROTOCOL_FEATURES)) {
      for (const { index } of this.queues) {
        await this.frontend.setVringEnable(index, true);
      }
    }
  }

  /** Hands one ring to the back-end, to start from a base. */
  async startQueue(queue: TestQueue, base: number): Promise<void> {
    const { frontend, memory } = this;
    const { index, driver: ring } = queue;
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
    await frontend.setVringErr(index, queue.errFd);
    await frontend.setVringCall(index, queue.callFd);
    await frontend.setVringKick(index, queue.kickFd);
    // SET_VRING_CALL is answered with one call (protocol trap 6.2): it is not for a request.
    native.eventfdRead(queue.callFd);
  }

  queue(index: number): TestQueue {
    const found = this.queues[index];
    if (found === undefined) {
      throw new RangeError(`there is no queue ${index}`);
    }
    return found;
  }

  /** Stops all rings; the bases they ended at. */
  async stopQueues(): Promise<number[]> {
    const bases: number[] = [];
    for (const { index } of this.queues) {
      bases.push(await this.frontend.getVringBase(index));
    }
    return bases;
  }

  close(): void {
    this.frontend.close();
    for (const queue of this.queues) {
      queue.close();
    }
    this.memory.close();
  }
}
