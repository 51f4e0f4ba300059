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
  RING_FEATURES,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_RESET,
} from '../../core/protocol/index.js';
import {
  encodeConfig,
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_STREAM,
} from './format.js';
import type { VsockHandlerOptions, VsockMessage } from './handler.js';
import { HostListeners } from './host-listeners.js';
import { NameResolver } from './name-resolver.js';
import type { VsockOptions } from './options.js';
import { BUFFERS_MAX } from './receive-buffers.js';
import type { SiblingOptions } from './sibling-end.js';
import { decodeState, encodeState, STATE_BYTES } from './state.js';
import { isAddress } from './tcp-target.js';

/** rx, tx and event; QEMU keeps the last for itself and asks for two. */
const QUEUES = 3;
/** Linux's guests take what they are given, up to this. */
const QUEUE_SIZE = BUFFERS_MAX;

export class VsockDevice implements VirtioDevice {
  readonly name = 'vsock';
  readonly virtioId = 19;
  readonly #options: VsockOptions;
  readonly #siblings: SiblingOptions | undefined;
  readonly #listeners: HostListeners;
  readonly #resolver: NameResolver;
  #host: DeviceHost | undefined;

  /** Throws EndError. */
  constructor(options: VsockOptions, siblings?: SiblingOptions) {
    this.#options = options;
    this.#siblings = siblings;
    this.#listeners = new HostListeners(options);
    const names = options.forwards.flatMap(({ to }) =>
      to.kind === 'tcp' && !isAddress(to.host) ? [to.host] : [],
    );
    this.#resolver = new NameResolver(
      names,
      (host, addresses) => void this.#tell({ kind: 'addresses', host, addresses }),
    );
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
      RING_FEATURES |
      VIRTIO_F_RING_RESET |
      VIRTIO_F_IN_ORDER
    );
  }

  protocolFeatures(): bigint {
    return 0n;
  }

  dataHalf(): DataHalf {
    const { guestCid, bufferBytes, forwards, parentCid } = this.#options;
    const options: VsockHandlerOptions = {
      guestCid,
      bufferBytes,
      uds: this.#listeners.uds,
      forwards,
      listeners: this.#listeners.ends,
      parentCid,
      siblings: this.#siblings,
    };
    return { moduleUrl: new URL('./handler.js', import.meta.url).href, options };
  }

  attach(host: DeviceHost): void {
    this.#host = host;
    void this.#resolver.start();
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
    this.#resolver.close();
    this.#listeners.close();
  }

  async #tell(message: VsockMessage): Promise<void> {
    await this.#host?.tellHandlers(message);
  }
}
