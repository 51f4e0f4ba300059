// The operations a handler can order, for devices: they see this folder, not the native facade.

import { exchange } from '../../native/index.js';

export const { OP_READ, OP_WRITE, FLAG_DURABLE } = exchange;
