// The library's public door: devices, a way to define more, a daemon.

export * from './author/index.js';
export * from './core/index.js';
export { BlkDevice } from './devices/blk/device.js';
export { ImageError } from './devices/blk/image.js';
export { type BlkOptions, blkOptionsSchema } from './devices/blk/options.js';
export { NetDevice } from './devices/net/device.js';
export { HostEndError } from './devices/net/host-end-error.js';
export { type NetOptions, netOptionsSchema } from './devices/net/options.js';
export { VsockDevice } from './devices/vsock/device.js';
export { EndError as VsockEndError } from './devices/vsock/end-error.js';
export { type VsockOptions, vsockOptionsSchema } from './devices/vsock/options.js';
