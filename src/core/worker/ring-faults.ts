// Why a worker gives a ring up, in words and as a code.

import { exchange } from '../../native/index.js';

export { codeOfFault } from '../virtqueue/queue-error.js';

export const { RING_FAULTS, RING_FAULT_MEMORY_LOST } = exchange;
