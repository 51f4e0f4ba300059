// The front-end side, public: the connection, the back-end's own requests, the device's life cycle,
// shared memory and the driver side of a ring.

export { VhostUserError, type VhostUserErrorCode } from '../protocol/errors.js';
export * from '../protocol/features.js';
export * from './backend-request-port.js';
export * from './device-queue.js';
export * from './dirty-log.js';
export * from './driver-ring.js';
export * from './inflight-area.js';
export * from './packed-driver-ring.js';
export * from './ring-driver.js';
export * from './shared-memory.js';
export * from './vhost-backend.js';
export * from './vhost-device.js';
export type { VhostDeviceBackend } from './vhost-device-backend.js';
export * from './vhost-error.js';
export * from './vhost-user-exchange.js';
export * from './vhost-user-frontend.js';
export * from './vhost-user-migration.js';
