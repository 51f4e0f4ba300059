// The control half of virtio-vsock: features, config space, the sockets host programs connect to.

import type {
  DataHalf,
  DeviceHost,
  DeviceStateDirection,
  VirtioDevice,
} from '../../core/device.js';
import { readState, writeState } from '../../core/device-state/state-pipe.js';
import {
  hasFeature,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
} from '../../core/protocol/index.js';
import {
  encodeConfig,
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_STREAM,
} from './format.js';
import type { VsockHandlerOptions, VsockMessage } from './handler.js';
import type { VsockOptions } from './options.js';
import { decodeState, encodeState, STATE_BYTES } from './state.js';
import { UdsListener } from './uds-listener.js';

/** rx, tx and event; QEMU keeps the last for itself and asks for two. */
const QUEUES = 3;
/** Linux's guests take what they are given, up to this. */
const QUEUE_SIZE = 1024;

export class VsockDevice implements VirtioDevice {
  readonly name = 'vsock';
  readonly virtioId = 19;
  readonly #options: VsockOptions;
  readonly #listeners: readonly UdsListener[];
  #host: DeviceHost | undefined;

  /** Throws UdsError. */
  constructor(options: VsockOptions) {
    this.#options = options;
    this.#listeners = options.udsPath === undefined ? [] : openListeners(options.udsPath);
  }

  numQueues(): number {
    return QUEUES;
  }

  maxQueueSize(): number {
    return QUEUE_SIZE;
  }

  features(): bigint {
    return (
      VIRTIO_VSOCK_F_STREAM |
      VIRTIO_VSOCK_F_SEQPACKET |
      VIRTIO_VSOCK_F_NO_IMPLIED_STREAM |
      VIRTIO_F_RING_INDIRECT_DESC |
      VIRTIO_F_RING_EVENT_IDX |
      VIRTIO_F_RING_PACKED |
      VIRTIO_F_VERSION_1
    );
  }

  protocolFeatures(): bigint {
    return 0n;
  }

  dataHalf(): DataHalf {
    const [stream, seqpacket] = this.#listeners;
    const uds =
      stream === undefined || seqpacket === undefined
        ? undefined
        : { path: stream.path, streamFd: stream.fd, seqpacketFd: seqpacket.fd };
    const options: VsockHandlerOptions = {
      guestCid: this.#options.guestCid,
      bufferBytes: this.#options.bufferBytes,
      uds,
    };
    return { moduleUrl: new URL('./handler.js', import.meta.url).href, options };
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  async ackedFeatures(features: bigint): Promise<void> {
    // §5.10.3: a driver that takes none of the bits has streams; SEQPACKET alone, in the older way,
    // brings them along.
    const seqpacket = hasFeature(features, VIRTIO_VSOCK_F_SEQPACKET);
    const stream =
      hasFeature(features, VIRTIO_VSOCK_F_STREAM) ||
      !hasFeature(features, VIRTIO_VSOCK_F_NO_IMPLIED_STREAM);
    await this.#tell({ kind: 'features', stream, seqpacket });
  }

  async resetDevice(): Promise<void> {
    await this.#tell({ kind: 'reset' });
  }

  getConfig(offset: number, size: number): Uint8Array {
    return encodeConfig(this.#options.guestCid).slice(offset, offset + size);
  }

  async setDeviceState(direction: DeviceStateDirection, fd: number): Promise<void> {
    if (direction === 'save') {
      await writeState(fd, encodeState({ guestCid: this.#options.guestCid }));
    } else {
      // A guest that finds another CID here reads it again after TRANSPORT_RESET.
      decodeState(await readState(fd, STATE_BYTES));
    }
  }

  close(): void {
    for (const listener of this.#listeners) {
      listener.close();
    }
  }

  async #tell(message: VsockMessage): Promise<void> {
    await this.#host?.tellHandlers(message);
  }
}

function openListeners(path: string): UdsListener[] {
  const stream = UdsListener.stream(path);
  try {
    return [stream, UdsListener.seqpacket(`${path}_seqpacket`)];
  } catch (error) {
    stream.close();
    throw error;
  }
}
