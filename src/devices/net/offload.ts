// Which offloads of frames to the driver a tap may use, from what the driver negotiated.

import { hasFeature } from '../../core/protocol/index.js';
import {
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_UFO,
  VIRTIO_NET_F_GUEST_USO4,
  VIRTIO_NET_F_GUEST_USO6,
} from './format.js';

/** include/uapi/linux/if_tun.h: TUN_F_*. */
const TUN_OFFLOADS: readonly (readonly [feature: bigint, tun: number])[] = [
  [VIRTIO_NET_F_GUEST_CSUM, 0x01],
  [VIRTIO_NET_F_GUEST_TSO4, 0x02],
  [VIRTIO_NET_F_GUEST_TSO6, 0x04],
  [VIRTIO_NET_F_GUEST_ECN, 0x08],
  [VIRTIO_NET_F_GUEST_UFO, 0x10],
  [VIRTIO_NET_F_GUEST_USO4, 0x20],
  [VIRTIO_NET_F_GUEST_USO6, 0x40],
];

const TUN_USO = 0x60;
/** Not known to kernels before 6.2. */
export const GUEST_USO = VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6;

/** Features of VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, and what needs GUEST_CSUM among them. */
export const GUEST_OFFLOADS = TUN_OFFLOADS.reduce((all, [feature]) => all | feature, 0n);
const LARGE = GUEST_OFFLOADS & ~(VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_ECN);

const TUN_TSO = 0x06;
const TUN_ECN = 0x08;

/** VIRTIO 1.3 §5.1.3.1: segmentation means partial checksums. A tap takes ECN with a TSO only, and
 *  USO for both protocols or none. */
export function tunOffload(features: bigint): number {
  if (!hasFeature(features, VIRTIO_NET_F_GUEST_CSUM)) {
    return 0;
  }
  const bits = TUN_OFFLOADS.reduce(
    (all, [feature, tun]) => all | (hasFeature(features, feature) ? tun : 0),
    0,
  );
  const withoutEcn = (bits & TUN_TSO) === 0 ? TUN_ECN : 0;
  const withoutUso = (bits & TUN_USO) === TUN_USO ? 0 : TUN_USO;
  return bits & ~(withoutEcn | withoutUso);
}

/** Whether the driver takes frames longer than its MTU. */
export function takesLargeFrames(features: bigint): boolean {
  return (features & LARGE) !== 0n;
}
