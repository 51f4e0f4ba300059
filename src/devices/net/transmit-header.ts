// The header a driver puts in front of a frame: is it true, and was what it asks for negotiated?
// The host's end gets a private copy, so what was checked can't change (NT-010).

import { hasFeature } from '../../core/protocol/index.js';
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  GSO_UDP_L4,
  HDR_F_NEEDS_CSUM,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_HOST_ECN,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_HOST_UFO,
  VIRTIO_NET_F_HOST_USO,
} from './format.js';

const GSO_FEATURES: readonly (readonly [type: number, feature: bigint])[] = [
  [GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4],
  [GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6],
  [GSO_UDP, VIRTIO_NET_F_HOST_UFO],
  [GSO_UDP_L4, VIRTIO_NET_F_HOST_USO],
];

/** 48 bytes of segment, the least Linux sends (tcp_min_snd_mss), less 40 of TCP options. Smaller
 *  ones turn one frame of 64 KiB into as many thousand packets of the host's work. */
const GSO_BYTES_MIN = 8;

export class TransmitHeader {
  /** The header as it goes on, in little-endian words. */
  readonly words = new Uint32Array(3);
  #csum = false;
  #ecn = false;
  /** One bit for each gso_type. */
  #gsoTypes = 0;

  negotiated(features: bigint): void {
    this.#csum = hasFeature(features, VIRTIO_NET_F_CSUM);
    this.#ecn = hasFeature(features, VIRTIO_NET_F_HOST_ECN);
    this.#gsoTypes = 0;
    for (const [type, feature] of GSO_FEATURES) {
      this.#gsoTypes |= hasFeature(features, feature) ? 1 << type : 0;
    }
  }

  /** Judges the three words of a header and fills `words` with what of them means something: flags
   *  of the other direction and num_buffers are left out (NT-009). */
  accept(word0: number, word1: number, word2: number, frameBytes: number): boolean {
    const needsCsum = (word0 & HDR_F_NEEDS_CSUM) !== 0;
    const gsoType = (word0 >>> 8) & 0xff;
    const csumStart = word1 >>> 16;
    const csumOffset = word2 & 0xffff;
    if (needsCsum && (!this.#csum || csumStart + csumOffset + 2 > frameBytes)) {
      return false;
    }
    const { words } = this;
    words[0] = needsCsum ? HDR_F_NEEDS_CSUM : 0;
    words[1] = needsCsum ? word1 & 0xffff0000 : 0;
    words[2] = needsCsum ? csumOffset : 0;
    if (gsoType === GSO_NONE) {
      return true;
    }
    words[0] |= word0 & 0xffffff00;
    words[1] |= word1 & 0xffff;
    return needsCsum && this.#segments(gsoType, word0 >>> 16, word1 & 0xffff, frameBytes);
  }

  #segments(gsoType: number, headerBytes: number, gsoBytes: number, frameBytes: number): boolean {
    const kind = gsoType & ~GSO_ECN;
    const known = kind < 32 && ((this.#gsoTypes >>> kind) & 1) === 1;
    const tcp = kind === GSO_TCPV4 || kind === GSO_TCPV6;
    const ecn = (gsoType & GSO_ECN) === 0 || (tcp && this.#ecn);
    return known && ecn && gsoBytes >= GSO_BYTES_MIN && headerBytes <= frameBytes;
  }
}
