// The control half of a guest's card at the switch.

import { randomBytes } from 'node:crypto';
import type { DataHalf, DeviceHost, VirtioDevice } from '../../../core/device.js';
import { VhostUserError } from '../../../core/protocol/index.js';
import { NetCounters, type QueueCounts } from '../counters.js';
import {
  CARD_RING_FEATURES,
  encodeConfig,
  MAC_BYTES,
  STATUS_LINK_UP,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_USO4,
  VIRTIO_NET_F_GUEST_USO6,
  VIRTIO_NET_F_HOST_ECN,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_HOST_USO,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_SPEED_DUPLEX,
  VIRTIO_NET_F_STATUS,
} from '../format.js';
import { isStation, parseMac } from '../options.js';
import { isTransmit } from '../queues.js';
import { rarpFrame } from '../rarp.js';
import type { SwitchMessage } from './handler.js';
import type { SwitchCardOptions } from './options.js';
import { QUEUES_PER_PORT } from './switch-port.js';

/** The first of a MAC that nobody was given: QEMU's, locally administered. */
const RANDOM_MAC_PREFIX = [0x52, 0x54, 0x00] as const;

/** A frame stays in the house. What its receiver can't do is done here. */
const OFFLOADS =
  VIRTIO_NET_F_CSUM |
  VIRTIO_NET_F_GUEST_CSUM |
  VIRTIO_NET_F_HOST_TSO4 |
  VIRTIO_NET_F_GUEST_TSO4 |
  VIRTIO_NET_F_HOST_TSO6 |
  VIRTIO_NET_F_GUEST_TSO6 |
  VIRTIO_NET_F_HOST_ECN |
  VIRTIO_NET_F_GUEST_ECN |
  VIRTIO_NET_F_HOST_USO |
  VIRTIO_NET_F_GUEST_USO4 |
  VIRTIO_NET_F_GUEST_USO6;

export class SwitchCard implements VirtioDevice {
  readonly name = 'net';
  readonly virtioId = 1;
  /** Names the port in logs and captures. */
  readonly label: string;
  readonly counters = new NetCounters(QUEUES_PER_PORT);
  readonly #options: SwitchCardOptions;
  readonly #mac: Uint8Array;
  readonly #dataHalf: () => DataHalf;
  #mtu: number | undefined;
  #host: DeviceHost | undefined;

  constructor(label: string, options: SwitchCardOptions, dataHalf: () => DataHalf) {
    this.label = label;
    this.#options = options;
    this.#dataHalf = dataHalf;
    this.#mac =
      (options.mac === undefined ? undefined : parseMac(options.mac)) ??
      Uint8Array.from([...RANDOM_MAC_PREFIX, ...randomBytes(MAC_BYTES - 3)]);
    this.#mtu = options.mtu;
  }

  numQueues(): number {
    return QUEUES_PER_PORT;
  }

  queueNumAnswer(): number {
    return this.#options.queueNum === 'pairs' ? 1 : this.numQueues();
  }

  readsOnly(queue: number): boolean {
    return isTransmit(queue);
  }

  maxQueueSize(): number {
    return this.#options.queueSize;
  }

  features(): bigint {
    return (
      (this.#options.offload ? OFFLOADS : 0n) |
      VIRTIO_NET_F_MRG_RXBUF |
      VIRTIO_NET_F_MAC |
      VIRTIO_NET_F_STATUS |
      VIRTIO_NET_F_SPEED_DUPLEX |
      (this.#mtu === undefined ? 0n : VIRTIO_NET_F_MTU) |
      CARD_RING_FEATURES
    );
  }

  protocolFeatures(): bigint {
    return 0n;
  }

  dataHalf(): DataHalf {
    return this.#dataHalf();
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  async ackedFeatures(features: bigint): Promise<void> {
    await this.#tell({ kind: 'features', features });
  }

  async resetDevice(): Promise<void> {
    await this.#tell({ kind: 'features', features: 0n });
  }

  getConfig(offset: number, size: number): Uint8Array {
    return encodeConfig({
      mac: this.#mac,
      status: STATUS_LINK_UP,
      pairs: 1,
      mtu: this.#mtu ?? 0,
    }).slice(offset, offset + size);
  }

  async setMtu(mtu: number): Promise<void> {
    this.#mtu = mtu;
  }

  /** The switch, and what is behind it, learn where the address is now. */
  async sendRarp(mac: Uint8Array): Promise<void> {
    if (!isStation(mac)) {
      throw new VhostUserError('PAYLOAD_VALUE', 'no address of a station');
    }
    await this.#tell({ kind: 'announce', frame: rarpFrame(mac) });
  }

  /** What a queue has moved and dropped since the start. */
  counts(queue: number): QueueCounts {
    return this.counters.of(queue);
  }

  async #tell(message: SwitchMessage): Promise<void> {
    await this.#host?.tellHandlers(message);
  }
}
