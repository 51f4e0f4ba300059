// The library's public door: a device, a listener, a daemon.

export * from './core/index.js';
export { BlkDevice } from './devices/blk/device.js';
export { ImageError } from './devices/blk/image.js';
export { type BlkOptions, blkOptionsSchema } from './devices/blk/options.js';
