// The vhost-user wire format: bytes in, objects out, no I/O.

export * from './backend-requests.js';
export * from './codec.js';
export * from './device-payloads.js';
export * from './errors.js';
export * from './features.js';
export * from './frontend-requests.js';
export * from './header.js';
export * from './memory-payloads.js';
export * from './payloads.js';
export * from './request-rules.js';
export * from './requests.js';
export {
  type DecodedBy,
  isLegalLength,
  type LengthRule,
  type PayloadCodec,
} from './struct.js';
export * from './vring-payloads.js';
