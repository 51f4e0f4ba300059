// Why a worker gives a ring up, in words.

import { exchange } from '../../native/index.js';

export const { RING_FAULTS, RING_FAULT_MEMORY_LOST } = exchange;
