// Virtqueues for who drives them without the daemon, public.

export * from '../memory/guest-memory.js';
export * from '../memory/inflight-area.js';
export * from './batch.js';
export * from './chain-reader.js';
export * from './chain-writer.js';
export * from './descriptor-chain.js';
export * from './object-layout.js';
export * from './queue-error.js';
export * from './queue-state.js';
export * from './virtqueue.js';
