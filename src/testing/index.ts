// The test kit, public: a front-end, a blk driver, the daemon as a process.

export * from './blk-driver.js';
export * from './daemon-process.js';
export * from './run-embedded-demo.js';
export * from './test-frontend.js';
