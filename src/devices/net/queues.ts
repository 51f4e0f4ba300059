// Which virtqueue is what (VIRTIO 1.3 §5.1.2): receiveq and transmitq of each pair, then controlq,
// whose place depends on whether the driver took MQ.

import { hasFeature } from '../../core/protocol/index.js';
import { VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_MQ } from './format.js';

export const receiveQueue = (pair: number): number => 2 * pair;
export const transmitQueue = (pair: number): number => 2 * pair + 1;
export const pairOfQueue = (queue: number): number => queue >>> 1;
/** These are only read, whatever a driver says of them: in the indirect tables of a packed ring
 *  DPDK 22.11 marks the header of a frame as writable, and what follows is readable. */
export const isTransmit = (queue: number): boolean => (queue & 1) === 1;

/** What one turn takes of one queue, or from the host for it: a flood starves no neighbour
 *  (NT-033). Linux's vhost-net stops at as many bytes; of a ring 64 chains come at most. */
export const FRAMES_PER_TURN = 256;
export const BYTES_PER_TURN = 512 << 10;

/** All there may ever be. */
export const queueCount = (pairs: number): number => 2 * pairs + 1;

/** Undefined: the driver has none, or its virtual machine monitor keeps it. */
export function controlQueue(pairs: number, features: bigint): number | undefined {
  if (!hasFeature(features, VIRTIO_NET_F_CTRL_VQ)) {
    return undefined;
  }
  return 2 * (hasFeature(features, VIRTIO_NET_F_MQ) ? pairs : 1);
}

/** A pair's two queues and its host end belong to one worker; control is with the first pair. */
export function queuesPerThread(pairs: number, workers: number): bigint[] {
  const masks: bigint[] = Array.from({ length: workers }, () => 0n);
  for (let pair = 0; pair < pairs; pair++) {
    const worker = pair % workers;
    masks[worker] = (masks[worker] ?? 0n) | (3n << BigInt(2 * pair));
  }
  masks[0] = (masks[0] ?? 0n) | (1n << BigInt(2 * pairs));
  return masks;
}
