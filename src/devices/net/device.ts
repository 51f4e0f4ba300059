// The control half of virtio-net: features, config space, the life of the host's end.

import { randomBytes } from 'node:crypto';
import type {
  DataHalf,
  DeviceHost,
  DeviceStateDirection,
  VirtioDevice,
} from '../../core/device.js';
import { readState, writeState } from '../../core/device-state/state-pipe.js';
import { hasFeature, VhostUserError } from '../../core/protocol/index.js';
import { check, native } from '../../native/index.js';
import { CaptureFile } from './capture/capture-file.js';
import { ControlState } from './control-state.js';
import { NetCounters, type QueueCounts } from './counters.js';
import {
  CARD_RING_FEATURES,
  encodeConfig,
  MAC_BYTES,
  STATUS_ANNOUNCE,
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_F_CTRL_MAC_ADDR,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_RX_EXTRA,
  VIRTIO_NET_F_CTRL_VLAN,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_HASH_REPORT,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_NOTF_COAL,
  VIRTIO_NET_F_RSS,
  VIRTIO_NET_F_SPEED_DUPLEX,
  VIRTIO_NET_F_STATUS,
} from './format.js';
import { HASH_LIMITS } from './frame-hash.js';
import type { NetHandlerOptions, NetMessage } from './handler.js';
import { type OpenedHostEnd, openHostEnd } from './open-host-end.js';
import { isStation, type NetOptions, parseMac, workersOf } from './options.js';
import { controlQueue, isTransmit, queueCount, queuesPerThread } from './queues.js';
import { rarpFrame } from './rarp.js';
import { encodeState, loadState, STATE_BYTES } from './state.js';

/** The first of a MAC that nobody was given: QEMU's, locally administered. */
const RANDOM_MAC_PREFIX = [0x52, 0x54, 0x00] as const;

/** What the driver may ask of the control queue. A front-end that keeps the queue, as QEMU does,
 *  masks these; ANNOUNCE it serves itself. */
const CONTROL_FEATURES =
  VIRTIO_NET_F_CTRL_VQ |
  VIRTIO_NET_F_CTRL_RX |
  VIRTIO_NET_F_CTRL_RX_EXTRA |
  VIRTIO_NET_F_CTRL_VLAN |
  VIRTIO_NET_F_CTRL_MAC_ADDR |
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS |
  VIRTIO_NET_F_GUEST_ANNOUNCE |
  VIRTIO_NET_F_HASH_REPORT |
  VIRTIO_NET_F_NOTF_COAL;

export class NetDevice implements VirtioDevice {
  readonly name = 'net';
  readonly virtioId = 1;
  readonly #options: NetOptions;
  readonly #end: OpenedHostEnd;
  readonly #counters: NetCounters;
  readonly #state: ControlState;
  readonly #bellFd = check('eventfd', native.eventfdCreate(0));
  #features = 0n;
  readonly #capture: CaptureFile | undefined;
  #mtu: number | undefined;
  #host: DeviceHost | undefined;

  /** Throws HostEndError. */
  constructor(options: NetOptions, notice: (message: string) => void = () => {}) {
    this.#options = options;
    this.#counters = new NetCounters(queueCount(options.queuePairs));
    const mac = (options.mac === undefined ? undefined : parseMac(options.mac)) ?? randomMac();
    this.#mtu = options.mtu;
    this.#state = ControlState.create(mac, options.mtu ?? 0);
    this.#end = openHostEnd(options);
    try {
      this.#capture = openCapture(options, notice);
    } catch (error) {
      this.#end.close();
      throw error;
    }
  }

  numQueues(): number {
    return queueCount(this.#options.queuePairs);
  }

  /** DPDK and QEMU count pairs, Cloud Hypervisor and rust-vmm queues, and nobody says which. */
  queueNumAnswer(): number {
    return this.#options.queueNum === 'pairs' ? this.#options.queuePairs : this.numQueues();
  }

  readsOnly(queue: number): boolean {
    return isTransmit(queue);
  }

  maxQueueSize(): number {
    return this.#options.queueSize;
  }

  features(): bigint {
    return (
      this.#end.features |
      CONTROL_FEATURES |
      VIRTIO_NET_F_MRG_RXBUF |
      VIRTIO_NET_F_MAC |
      VIRTIO_NET_F_STATUS |
      VIRTIO_NET_F_SPEED_DUPLEX |
      (this.#mtu === undefined ? 0n : VIRTIO_NET_F_MTU) |
      (this.#options.queuePairs > 1 ? VIRTIO_NET_F_MQ : 0n) |
      (this.#options.queuePairs > 1 && workersOf(this.#options) === 1 ? VIRTIO_NET_F_RSS : 0n) |
      CARD_RING_FEATURES
    );
  }

  protocolFeatures(): bigint {
    return 0n;
  }

  dataHalf(): DataHalf {
    const { queuePairs, queueSize } = this.#options;
    const options: NetHandlerOptions = {
      host: this.#end.host,
      pairs: queuePairs,
      queueSize,
      counters: this.#counters.buffer,
      control: this.#state.buffer,
      bellFd: this.#bellFd,
      capture: this.#capture?.shared,
    };
    return { moduleUrl: new URL('./handler.js', import.meta.url).href, options };
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  async ackedFeatures(features: bigint): Promise<void> {
    this.#features = features;
    await this.#tell({ kind: 'features', features });
  }

  async resetDevice(): Promise<void> {
    this.#features = 0n;
    this.#state.forget();
    native.eventfdSignal(this.#bellFd);
    await this.#tell({ kind: 'features', features: 0n });
  }

  getConfig(offset: number, size: number): Uint8Array {
    return encodeConfig({
      mac: this.#state.mac,
      status: this.#state.status,
      pairs: this.#options.queuePairs,
      mtu: this.#mtu ?? 0,
      hash: HASH_LIMITS,
    }).slice(offset, offset + size);
  }

  async setMtu(mtu: number): Promise<void> {
    this.#mtu = mtu;
    this.#state.mtu = mtu;
    native.eventfdSignal(this.#bellFd);
  }

  /** The host's network learns where the address is now: from us, and from a driver that can say
   *  more and whose control queue is ours. */
  async sendRarp(mac: Uint8Array): Promise<void> {
    if (!isStation(mac)) {
      throw new VhostUserError('PAYLOAD_VALUE', 'no address of a station');
    }
    await this.#tell({ kind: 'announce', frame: rarpFrame(mac) });
    const ours = controlQueue(this.#options.queuePairs, this.#features) !== undefined;
    if (ours && hasFeature(this.#features, VIRTIO_NET_F_GUEST_ANNOUNCE)) {
      this.#state.setStatus(STATUS_ANNOUNCE, true);
      this.#host?.configChanged();
    }
  }

  /** What the driver has said on its control queue goes with it; nothing has been said where the
   *  front-end keeps the queue. */
  async setDeviceState(direction: DeviceStateDirection, fd: number): Promise<void> {
    if (direction === 'save') {
      await writeState(fd, encodeState(this.#state));
      return;
    }
    loadState(await readState(fd, STATE_BYTES), this.#state, this.#options.queuePairs);
    native.eventfdSignal(this.#bellFd);
  }

  queuesPerThread(workers: number): bigint[] {
    return queuesPerThread(this.#options.queuePairs, workers);
  }

  /** What a queue has moved and dropped since the start. */
  counts(queue: number): QueueCounts {
    return this.#counters.of(queue);
  }

  async close(): Promise<void> {
    native.fdClose(this.#bellFd);
    this.#end.close();
    await this.#capture?.close();
  }

  async #tell(message: NetMessage): Promise<void> {
    await this.#host?.tellHandlers(message);
  }
}

function randomMac(): Uint8Array {
  return Uint8Array.from([...RANDOM_MAC_PREFIX, ...randomBytes(MAC_BYTES - 3)]);
}

/** Each worker has a pair at least. */
function openCapture(
  { pcap, pcapLimitMib, queuePairs }: NetOptions,
  notice: (message: string) => void,
): CaptureFile | undefined {
  const limitBytes = pcapLimitMib * 2 ** 20;
  return pcap === undefined
    ? undefined
    : new CaptureFile({ path: pcap, limitBytes, interfaces: ['net'], rings: queuePairs, notice });
}
