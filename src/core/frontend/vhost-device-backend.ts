// What a VhostDevice needs of a back-end, and how it asks for what only some have.

import { hasFeature } from '../protocol/index.js';
import type { VhostBackend } from './vhost-backend.js';
import { VhostError } from './vhost-error.js';
import type { VhostUserFrontend } from './vhost-user-frontend.js';

type Extras =
  | 'protocolFeatures'
  | 'getProtocolFeatures'
  | 'setProtocolFeatures'
  | 'getQueueNum'
  | 'getMaxMemSlots'
  | 'addMemRegion'
  | 'removeMemRegion'
  | 'setVringEnable'
  | 'getConfig'
  | 'setConfig'
  | 'getStatus'
  | 'setStatus'
  | 'resetDevice'
  | 'sendIotlb'
  | 'getInflightFd'
  | 'setInflightFd'
  | 'serveBackendRequests'
  | 'close';

/** The trait, and as much of a VhostUserFrontend as the transport has. */
export type VhostDeviceBackend = VhostBackend & Partial<Pick<VhostUserFrontend, Extras>>;

/** A method beyond the trait. Throws INVALID_OPERATION when the back-end has no such thing. */
export function methodOf<K extends Extras>(
  backend: VhostDeviceBackend,
  name: K,
): NonNullable<VhostDeviceBackend[K]> {
  const found = backend[name];
  requireState(typeof found === 'function', `the back-end has no ${name}`);
  // bind() keeps the signature, which the compiler can't see through the union of all names.
  return (found as () => unknown).bind(backend) as unknown as NonNullable<VhostDeviceBackend[K]>;
}

/** Was a protocol feature negotiated? Never with a transport that knows none. */
export function negotiated(backend: VhostDeviceBackend, protocolFeature: bigint): boolean {
  return hasFeature(backend.protocolFeatures ?? 0n, protocolFeature);
}

/** Throws INVALID_OPERATION unless the condition holds. */
export function requireState(condition: boolean, otherwise: string): asserts condition {
  if (!condition) {
    throw new VhostError('INVALID_OPERATION', otherwise);
  }
}
