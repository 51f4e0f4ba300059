// What the trait demands of a device's answers, checked without serving it.

import type { VirtioDevice } from '../core/device.js';
import {
  hasFeature,
  PROTOCOL_FEATURES,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_VERSION_1,
} from '../core/protocol/index.js';

const QUEUES_MAX = 256;
const RING_SIZE_MAX = 32768;
/** No device has more config space (QEMU's VHOST_USER_MAX_CONFIG_SIZE). */
const CONFIG_BYTES_MAX = 256;
const KNOWN_PROTOCOL_FEATURES = Object.values(PROTOCOL_FEATURES).reduce((all, bit) => all | bit);

/** A sentence for each broken rule. */
export function contractFaults(device: VirtioDevice): string[] {
  return [
    ...identityFaults(device),
    ...queueFaults(device),
    ...featureFaults(device),
    ...configFaults(device),
  ];
}

function identityFaults({ name, virtioId }: VirtioDevice): string[] {
  const faults: string[] = [];
  if (!/^[a-z][a-z0-9-]*$/.test(name)) {
    faults.push(`name ${JSON.stringify(name)} is not in kebab-case`);
  }
  if (!Number.isInteger(virtioId) || virtioId < 1 || virtioId > 0xffff) {
    faults.push(`virtioId ${virtioId} is no device type`);
  }
  return faults;
}

function queueFaults(device: VirtioDevice): string[] {
  const faults: string[] = [];
  const queues = device.numQueues();
  if (!Number.isInteger(queues) || queues < 1 || queues > QUEUES_MAX) {
    faults.push(`numQueues() is ${queues}, not 1 to ${QUEUES_MAX}`);
  }
  const size = device.maxQueueSize();
  if (!Number.isInteger(Math.log2(size)) || size > RING_SIZE_MAX) {
    faults.push(`maxQueueSize() is ${size}, no power of two <= ${RING_SIZE_MAX}`);
  }
  if (device.numQueues() !== queues || device.maxQueueSize() !== size) {
    faults.push('numQueues() or maxQueueSize() changes from call to call');
  }
  for (const workers of [1, 2]) {
    const masks = device.queuesPerThread?.(workers) ?? [];
    if (device.queuesPerThread !== undefined && masks.length !== workers) {
      faults.push(`queuesPerThread(${workers}) gives ${masks.length} masks`);
    }
    const twice = masks.some((mask, i) => masks.slice(i + 1).some((other) => (mask & other) > 0n));
    if (twice) {
      faults.push(`queuesPerThread(${workers}) gives a queue to two workers`);
    }
  }
  return faults;
}

function featureFaults(device: VirtioDevice): string[] {
  const faults: string[] = [];
  const features = device.features();
  if (!hasFeature(features, VIRTIO_F_VERSION_1)) {
    faults.push('features() lacks VIRTIO_F_VERSION_1');
  }
  if (hasFeature(features, VHOST_USER_F_PROTOCOL_FEATURES)) {
    faults.push('features() has VHOST_USER_F_PROTOCOL_FEATURES, which the framework adds');
  }
  const unknown = device.protocolFeatures() & ~KNOWN_PROTOCOL_FEATURES;
  if (unknown !== 0n) {
    faults.push(`protocolFeatures() has unknown bits 0x${unknown.toString(16)}`);
  }
  return faults;
}

/** Every range answers with the same bytes as the whole. */
function configFaults(device: VirtioDevice): string[] {
  const whole = device.getConfig?.(0, CONFIG_BYTES_MAX) ?? new Uint8Array(0);
  if (whole.byteLength > CONFIG_BYTES_MAX) {
    return [`getConfig(0, ${CONFIG_BYTES_MAX}) gives ${whole.byteLength} bytes`];
  }
  for (let offset = 0; offset < CONFIG_BYTES_MAX; offset++) {
    for (const size of [1, 4, CONFIG_BYTES_MAX - offset]) {
      const part = device.getConfig?.(offset, size) ?? new Uint8Array(0);
      const expected = whole.subarray(offset, offset + size);
      if (Buffer.compare(part, expected) !== 0) {
        return [`getConfig(${offset}, ${size}) differs from the same range of the whole`];
      }
    }
  }
  return [];
}
