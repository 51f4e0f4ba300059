// The front-end side, public: connection, shared memory, driver side of a ring.

export * from './driver-ring.js';
export * from './packed-driver-ring.js';
export * from './ring-driver.js';
export * from './shared-memory.js';
export * from './vhost-user-frontend.js';
