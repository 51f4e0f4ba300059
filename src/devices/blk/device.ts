// The control half of virtio-blk: features, config space, the image's life.

import type {
  ConfigWriteReason,
  DataHalf,
  DeviceHost,
  DeviceStateDirection,
  VirtioDevice,
} from '../../core/device.js';
import { readState, writeState } from '../../core/device-state/state-pipe.js';
import {
  hasFeature,
  RING_FEATURES,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
  VhostUserError,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_RESET,
} from '../../core/protocol/index.js';
import {
  CONFIG_WRITEBACK_OFFSET,
  encodeConfig,
  SECTOR_BYTES,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
} from './format.js';
import type { BlkHandlerOptions } from './handler.js';
import { Image, ImageError } from './image.js';
import type { BlkOptions } from './options.js';
import { SharedState } from './shared-state.js';
import { decodeState, encodeState, STATE_BYTES } from './state.js';

/** Data segments of a request: a ring of 128 less header and status, as QEMU's default is. */
const SEGMENTS_MAX = 126;

export class BlkDevice implements VirtioDevice {
  readonly name = 'blk';
  readonly virtioId = 2;
  readonly #options: BlkOptions;
  readonly #image: Image;
  readonly #blockBytes: number;
  readonly #state = new SharedState();
  #acked = 0n;
  /** What a migration brought. It comes before SET_FEATURES, which would set the default. */
  #loadedWriteback: boolean | undefined;
  #host: DeviceHost | undefined;

  /** Throws ImageError. */
  constructor(options: BlkOptions) {
    this.#options = options;
    this.#image = Image.open({
      path: options.image,
      readOnly: options.readOnly,
      direct: options.cache === 'none',
      createBytes: options.create,
      lock: options.imageLock,
    });
    try {
      this.#blockBytes = this.#chooseBlockBytes();
      this.#state.capacitySectors = this.#measure();
      if (this.#state.capacitySectors === 0) {
        throw new ImageError('unusable', `image ${options.image} holds less than one block`);
      }
    } catch (error) {
      this.#image.close();
      throw error;
    }
    this.#setWriteback();
  }

  numQueues(): number {
    return this.#options.numQueues;
  }

  maxQueueSize(): number {
    return this.#options.queueSize;
  }

  features(): bigint {
    return (
      VIRTIO_BLK_F_SEG_MAX |
      VIRTIO_BLK_F_BLK_SIZE |
      VIRTIO_BLK_F_FLUSH |
      VIRTIO_BLK_F_TOPOLOGY |
      VIRTIO_BLK_F_CONFIG_WCE |
      VIRTIO_BLK_F_MQ |
      (this.#options.readOnly
        ? VIRTIO_BLK_F_RO
        : VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES) |
      RING_FEATURES |
      VIRTIO_F_RING_RESET |
      (this.#options.inOrder ? VIRTIO_F_IN_ORDER : 0n) |
      (this.#options.iommu ? VIRTIO_F_ACCESS_PLATFORM : 0n)
    );
  }

  protocolFeatures(): bigint {
    return this.#options.postcopy ? VHOST_USER_PROTOCOL_F_PAGEFAULT : 0n;
  }

  dataHalf(): DataHalf {
    const options: BlkHandlerOptions = {
      fd: this.#image.fd,
      readOnly: this.#options.readOnly,
      directAlign: this.#image.directAlign,
      blockBytes: this.#blockBytes,
      serial: this.#options.serial,
      shared: this.#state.buffer,
    };
    return { moduleUrl: new URL('./handler.js', import.meta.url).href, options };
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  async ackedFeatures(features: bigint): Promise<void> {
    // Everything derived from features is derived anew each time (CVE-2024-43873). The driver's
    // choice of write cache survives when the same features are sent again.
    if (features !== this.#acked) {
      this.#acked = features;
      this.#setWriteback();
    }
  }

  getConfig(offset: number, size: number): Uint8Array {
    return encodeConfig({
      capacitySectors: this.#state.capacitySectors,
      blockBytes: this.#blockBytes,
      physicalBlockBytes: Math.max(this.#blockBytes, this.#image.physicalBlockBytes),
      segmentsMax: Math.min(SEGMENTS_MAX, Math.max(1, this.#options.queueSize - 2)),
      queues: this.#options.numQueues,
      writeback: this.#state.writeback,
    }).slice(offset, offset + size);
  }

  async setConfig(offset: number, bytes: Uint8Array, reason: ConfigWriteReason): Promise<void> {
    const isWriteback = offset === CONFIG_WRITEBACK_OFFSET && bytes.byteLength === 1;
    const allowed = reason === 'migration' || hasFeature(this.#acked, VIRTIO_BLK_F_CONFIG_WCE);
    const value = bytes[0] as number;
    if (!isWriteback || !allowed || value > 1) {
      throw new VhostUserError('CONFIG_READ_ONLY', `offset ${offset}, ${bytes.byteLength} bytes`);
    }
    this.#loadedWriteback = undefined;
    this.#state.writeback = value === 1;
  }

  async setDeviceState(direction: DeviceStateDirection, fd: number): Promise<void> {
    if (direction === 'save') {
      await writeState(fd, encodeState({ writeback: this.#state.writeback }));
      return;
    }
    this.#loadedWriteback = decodeState(await readState(fd, STATE_BYTES)).writeback;
    this.#setWriteback();
  }

  async acquire(): Promise<void> {
    try {
      this.#image.acquire();
    } catch (error) {
      throw new VhostUserError('DEVICE', (error as Error).message, { cause: error });
    }
  }

  /** What can't be made durable is not handed over: the lock stays. */
  async release(): Promise<void> {
    try {
      await this.#image.release();
    } catch (error) {
      this.#state.fail();
      throw new VhostUserError('DEVICE', (error as Error).message, { cause: error });
    }
  }

  async resetDevice(): Promise<void> {
    this.#loadedWriteback = undefined;
    this.#acked = 0n;
    this.#setWriteback();
  }

  /** Looks at the image again; true when it had grown and the driver was told. A smaller image is
   *  left alone: a guest can't be told to give blocks back. */
  refresh(): boolean {
    const sectors = this.#measure();
    if (sectors <= this.#state.capacitySectors) {
      return false;
    }
    this.#image.syncSize();
    this.#state.capacitySectors = sectors;
    this.#host?.configChanged();
    return true;
  }

  get capacityBytes(): number {
    return this.#state.capacitySectors * SECTOR_BYTES;
  }

  close(): void {
    this.#image.close();
  }

  /** VIRTIO 1.3 §5.2.5: without FLUSH and CONFIG_WCE, and with CONFIG_WCE alone, the cache is
   *  write-through; else as the user wants it. */
  #setWriteback(): void {
    const flush = hasFeature(this.#acked, VIRTIO_BLK_F_FLUSH) || this.#acked === 0n;
    const wanted = this.#loadedWriteback ?? this.#options.cache !== 'writethrough';
    this.#state.writeback = flush && wanted;
  }

  /** Whole blocks the image holds now, in sectors. */
  #measure(): number {
    const blocks = Math.floor(this.#image.sizeBytes() / this.#blockBytes);
    return blocks * (this.#blockBytes / SECTOR_BYTES);
  }

  /** With O_DIRECT the kernel takes no smaller unit than its own; 512-byte writes would tear. */
  #chooseBlockBytes(): number {
    const smallest = Math.max(SECTOR_BYTES, this.#image.directAlign);
    const chosen = this.#options.blockSize ?? smallest;
    if (chosen < smallest) {
      throw new ImageError(
        'option',
        `--cache none on ${this.#options.image} needs --block-size ${smallest}`,
      );
    }
    return chosen;
  }
}
