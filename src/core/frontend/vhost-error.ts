// What can be wrong on our own side of a vhost back-end, before anything is sent: the kinds of
// rust-vmm's `vhost::Error`, whose trait vhost-backend.ts has. What the peer does wrong is a
// VhostUserError and is thrown as it is; `vhostErrorCode` says which kind that would be.

import { SystemError } from '../../native/index.js';
import { VhostUserError } from '../protocol/index.js';

export const VHOST_ERRORS = {
  INVALID_GUEST_MEMORY: 'the guest memory can not be given to a back-end',
  INVALID_GUEST_MEMORY_REGION: 'a guest memory region is invalid',
  INVALID_QUEUE: 'the virtqueue is invalid',
  INVALID_OPERATION: 'the operation is not possible in the present state',
  INVALID_INFLIGHT_AREA: 'the saved inflight area is invalid',
  DESCRIPTOR_TABLE_ADDRESS: 'the address of the descriptor table is invalid',
  USED_ADDRESS: 'the address of the used ring is invalid',
  AVAIL_ADDRESS: 'the address of the available ring is invalid',
  LOG_ADDRESS: 'the address or size of the dirty log is invalid',
  IOCTL_ERROR: 'a system call failed',
  VHOST_USER_PROTOCOL: 'a vhost-user message could not be exchanged',
} as const;

export type VhostErrorCode = keyof typeof VHOST_ERRORS;

export class VhostError extends Error {
  override readonly name = 'VhostError';
  readonly code: VhostErrorCode;

  constructor(code: VhostErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? VHOST_ERRORS[code] : `${VHOST_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}

/** The kind of anything a VhostBackend rejects with; undefined for a fault of the program. */
export function vhostErrorCode(error: unknown): VhostErrorCode | undefined {
  if (error instanceof VhostError) {
    return error.code;
  }
  if (error instanceof VhostUserError) {
    return 'VHOST_USER_PROTOCOL';
  }
  return error instanceof SystemError ? 'IOCTL_ERROR' : undefined;
}
