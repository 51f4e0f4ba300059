// virtio-net on the wire (VIRTIO 1.3 §5.1): feature bits, frame header, config space.

import {
  hasFeature,
  RING_FEATURES,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_RESET,
} from '../../core/protocol/index.js';

export const VIRTIO_NET_F_CSUM = 1n << 0n;
export const VIRTIO_NET_F_GUEST_CSUM = 1n << 1n;
export const VIRTIO_NET_F_CTRL_GUEST_OFFLOADS = 1n << 2n;
export const VIRTIO_NET_F_MTU = 1n << 3n;
export const VIRTIO_NET_F_MAC = 1n << 5n;
export const VIRTIO_NET_F_GUEST_TSO4 = 1n << 7n;
export const VIRTIO_NET_F_GUEST_TSO6 = 1n << 8n;
export const VIRTIO_NET_F_GUEST_ECN = 1n << 9n;
export const VIRTIO_NET_F_GUEST_UFO = 1n << 10n;
export const VIRTIO_NET_F_HOST_TSO4 = 1n << 11n;
export const VIRTIO_NET_F_HOST_TSO6 = 1n << 12n;
export const VIRTIO_NET_F_HOST_ECN = 1n << 13n;
export const VIRTIO_NET_F_HOST_UFO = 1n << 14n;
export const VIRTIO_NET_F_MRG_RXBUF = 1n << 15n;
export const VIRTIO_NET_F_STATUS = 1n << 16n;
export const VIRTIO_NET_F_CTRL_VQ = 1n << 17n;
export const VIRTIO_NET_F_CTRL_RX = 1n << 18n;
export const VIRTIO_NET_F_CTRL_VLAN = 1n << 19n;
export const VIRTIO_NET_F_CTRL_RX_EXTRA = 1n << 20n;
export const VIRTIO_NET_F_GUEST_ANNOUNCE = 1n << 21n;
export const VIRTIO_NET_F_MQ = 1n << 22n;
export const VIRTIO_NET_F_CTRL_MAC_ADDR = 1n << 23n;
export const VIRTIO_NET_F_NOTF_COAL = 1n << 53n;
export const VIRTIO_NET_F_GUEST_USO4 = 1n << 54n;
export const VIRTIO_NET_F_GUEST_USO6 = 1n << 55n;
export const VIRTIO_NET_F_HOST_USO = 1n << 56n;
export const VIRTIO_NET_F_HASH_REPORT = 1n << 57n;
export const VIRTIO_NET_F_RSS = 1n << 60n;
export const VIRTIO_NET_F_SPEED_DUPLEX = 1n << 63n;

export const CARD_RING_FEATURES = RING_FEATURES | VIRTIO_F_RING_RESET | VIRTIO_F_IN_ORDER;

/** Struct virtio_net_hdr with num_buffers, which VERSION_1 always has (§5.1.6). */
export const HEADER_BYTES = 12;
export const HEADER_WORDS = HEADER_BYTES / 4;
/** Struct virtio_net_hdr_v1_hash: the same, then hash, how it was found, and padding. */
export const HASH_HEADER_BYTES = 20;
export const HASH_OFFSET = 12;
/** In front of each frame, in either direction. */
export const headerBytesOf = (features: bigint): number =>
  hasFeature(features, VIRTIO_NET_F_HASH_REPORT) ? HASH_HEADER_BYTES : HEADER_BYTES;
export const HDR_F_NEEDS_CSUM = 1;
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
export const GSO_ECN = 0x80;

export const MAC_BYTES = 6;
/** Two addresses and a type: shorter is no Ethernet frame. */
export const FRAME_BYTES_MIN = 14;
/** Of a link nobody has said anything about: Ethernet's. */
export const MTU_DEFAULT = 1500;
/** The largest a driver may send, GSO included: 65562 with the header (§5.1.6.3.1). */
export const FRAME_BYTES_MAX = 65562 - HEADER_BYTES;

/** §5.1.6.5: what a control command begins with, and how it is answered. */
export const CONTROL_HEADER_BYTES = 2;
export const CONTROL_OK = 0;
export const CONTROL_ERROR = 1;

export const STATUS_LINK_UP = 1;
export const STATUS_ANNOUNCE = 2;
const DUPLEX_FULL = 1;
/** §5.1.4: in units of 1 Mbit/s; a tap says 10 Gbit/s too. */
const SPEED_MBPS = 10_000;

/** Struct virtio_net_config. */
export const CONFIG_BYTES = 24;

/** What a driver may set up for the hash of a frame (§5.1.4): zeroes where none is offered. */
export interface HashLimits {
  readonly keyBytesMax: number;
  readonly tableLengthMax: number;
  readonly types: number;
}

export interface NetConfig {
  readonly mac: Uint8Array;
  readonly status: number;
  readonly pairs: number;
  readonly mtu: number;
  readonly hash?: HashLimits;
}

export function encodeConfig({ mac, status, pairs, mtu, hash }: NetConfig): Uint8Array {
  const bytes = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(mac);
  view.setUint16(6, status, true);
  view.setUint16(8, pairs, true);
  view.setUint16(10, mtu, true);
  view.setUint32(12, SPEED_MBPS, true);
  view.setUint8(16, DUPLEX_FULL);
  view.setUint8(17, hash?.keyBytesMax ?? 0);
  view.setUint16(18, hash?.tableLengthMax ?? 0, true);
  view.setUint32(20, hash?.types ?? 0, true);
  return bytes;
}
