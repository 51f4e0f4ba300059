// What a device author imports.

export * from '../core/virtqueue/chain-reader.js';
export * from '../core/virtqueue/chain-writer.js';
export * from '../core/virtqueue/descriptor-chain.js';
export * from '../core/virtqueue/queue-error.js';
export * from './define-device.js';
export * from './definition.js';
export * from './options-error.js';
export * from './serve.js';
