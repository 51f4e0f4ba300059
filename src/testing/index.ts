// The test kit, public: a front-end, drivers, any device under test, the daemon as a process.

export * from './blk-driver.js';
export * from './chain-driver.js';
export * from './daemon-process.js';
export * from './device-contract.js';
export * from './net-driver.js';
export * from './run-embedded-demo.js';
export * from './test-device.js';
export * from './test-frontend.js';
export * from './vsock-driver.js';
