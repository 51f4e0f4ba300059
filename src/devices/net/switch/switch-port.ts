// A guest at the switch, in the worker: what it has negotiated, posted and is allowed.

import { hasFeature } from '../../../core/protocol/index.js';
import type { CommandWriter } from '../../../core/virtqueue/command-writer.js';
import { Arena } from '../arena.js';
import { type DropReason, NetCounters } from '../counters.js';
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  HDR_F_NEEDS_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_USO4,
  VIRTIO_NET_F_GUEST_USO6,
  VIRTIO_NET_F_MRG_RXBUF,
} from '../format.js';
import { queueCount, receiveQueue, transmitQueue } from '../queues.js';
import { TransmitHeader } from '../transmit-header.js';
import { type PortVlanOptions, PortVlans } from './port-vlans.js';
import { ReceiveChains } from './receive-chains.js';
import { StormLimit } from './storm-limit.js';

/** Of each port: one pair, and a control queue that is not offered. */
export const QUEUES_PER_PORT = queueCount(1);

/** Plain data: it crosses a thread. */
export interface SwitchPortOptions {
  readonly vlans: PortVlanOptions;
  /** Hears and reaches only ports that are not. */
  readonly isolated: boolean;
  readonly stormPerSecond: number;
  readonly queueSize: number;
  readonly counters: SharedArrayBuffer;
  /** The uplink, not a guest. */
  readonly outside?: boolean;
}

export class SwitchPort {
  readonly index: number;
  readonly vlans: PortVlans;
  readonly isolated: boolean;
  /** The uplink, not a guest. */
  readonly outside: boolean;
  readonly storm: StormLimit;
  readonly chains: ReceiveChains;
  readonly header = new TransmitHeader();
  /** The driver can be given frames. */
  running = false;
  readonly #counters: NetCounters;
  #checksums = false;
  /** Types of segmented frames the driver takes, one bit each. */
  #gsoTypes = 0;
  #ecn = false;

  constructor(index: number, options: SwitchPortOptions, commands: CommandWriter, arena: Arena) {
    this.index = index;
    this.vlans = new PortVlans(options.vlans);
    this.isolated = options.isolated;
    this.outside = options.outside ?? false;
    this.running = this.outside;
    this.storm = new StormLimit(options.stormPerSecond);
    this.chains = new ReceiveChains(commands, arena, options.queueSize);
    this.#counters = new NetCounters(options.counters);
  }

  static arenaBytes({ queueSize }: SwitchPortOptions): number {
    return Arena.rounded(ReceiveChains.arenaBytes(queueSize));
  }

  /** Of its queue of that index, for native code to count in. */
  countsOf(queue: number): Float64Array {
    return this.#counters.fieldsOf(queue);
  }

  negotiated(features: bigint): void {
    this.header.negotiated(features);
    this.chains.merge = hasFeature(features, VIRTIO_NET_F_MRG_RXBUF);
    this.#checksums = hasFeature(features, VIRTIO_NET_F_GUEST_CSUM);
    this.#ecn = hasFeature(features, VIRTIO_NET_F_GUEST_ECN);
    const tcp4 = hasFeature(features, VIRTIO_NET_F_GUEST_TSO4) ? 1 << GSO_TCPV4 : 0;
    const tcp6 = hasFeature(features, VIRTIO_NET_F_GUEST_TSO6) ? 1 << GSO_TCPV6 : 0;
    // The type does not tell IPv4 from IPv6.
    const both = VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6;
    const udp = hasFeature(features, both) ? 1 << GSO_UDP_L4 : 0;
    this.#gsoTypes = this.#checksums ? tcp4 | tcp6 | udp : 0;
  }

  /** Whether the driver can cut a frame that its sender has left to be cut; else it gets it in
   *  pieces, as it gets a checksum that it can't do without. */
  takes(header: Uint32Array): boolean {
    const type = ((header[0] as number) >>> 8) & 0xff;
    if (type === GSO_NONE) {
      return true;
    }
    const ecn = (type & GSO_ECN) === 0 || this.#ecn;
    return ecn && ((this.#gsoTypes >>> (type & ~GSO_ECN)) & 1) === 1;
  }

  needsChecksum(header: Uint32Array): boolean {
    return !this.#checksums && ((header[0] as number) & HDR_F_NEEDS_CSUM) !== 0;
  }

  sent(bytes: number, frames = 1): void {
    this.#counters.moved(transmitQueue(0), frames, bytes);
  }

  received(bytes: number, frames = 1): void {
    this.#counters.moved(receiveQueue(0), frames, bytes);
  }

  droppedSent(reason: DropReason): void {
    this.#counters.dropped(transmitQueue(0), reason);
  }

  droppedReceived(reason: DropReason): void {
    this.#counters.dropped(receiveQueue(0), reason);
  }
}
