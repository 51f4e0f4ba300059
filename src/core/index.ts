// The public door of core.

export * from './daemon/daemon.js';
export * from './daemon/listener.js';
export * from './device.js';
export * from './device-state/state-pipe.js';
export * from './log.js';
