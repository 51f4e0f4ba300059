// The public door of core.

export * from './daemon/connector.js';
export * from './daemon/daemon.js';
export * from './daemon/listener.js';
export * from './device.js';
export * from './device-state/state-pipe.js';
export * from './log.js';
export { VhostUserError, type VhostUserErrorCode } from './protocol/errors.js';
export type { IoEngineName } from './worker/commands.js';
export { type PoolShare, SharedPool } from './worker/pool-share.js';
