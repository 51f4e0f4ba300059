// The dirty log of a live migration: where it is, and whom to tell.

import { fdKind, SystemError } from '../../../native/index.js';
import type { FdBag } from '../../connection/fd-bag.js';
import {
  hasFeature,
  type PayloadOf,
  SUCCESS,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VhostUserError,
} from '../../protocol/index.js';
import type { MappedLog } from '../dirty-log.js';
import type { Session } from '../session.js';

export async function setLogBase(
  session: Session,
  base: PayloadOf<'SET_LOG_BASE'>,
  fds: FdBag,
): Promise<bigint> {
  // Without a descriptor the log would be at an address of the front-end's, which is not ours.
  if (!hasFeature(session.protocolFeatures, VHOST_USER_PROTOCOL_F_LOG_SHMFD)) {
    throw new VhostUserError('NOT_NEGOTIATED', 'VHOST_USER_PROTOCOL_F_LOG_SHMFD');
  }
  if (base.form !== 'area') {
    throw new VhostUserError('PAYLOAD_VALUE', 'a log address where an area was due');
  }
  try {
    await session.dirtyLog.setArea(fds.borrow()[0] as number, base, (log) =>
      checkArea(session, log),
    );
  } catch (error) {
    if (!(error instanceof SystemError)) {
      throw error;
    }
    throw new VhostUserError('LOG_AREA', AREA_FAULTS[error.code] ?? error.code, { cause: error });
  }
  return SUCCESS;
}

/** A page without a bit would be missing in the destination (CS-131). */
function checkArea({ memory, vrings, packed, translates }: Session, log: MappedLog): void {
  if (!log.coversMemory(memory)) {
    throw new VhostUserError('LOG_AREA', 'it is too small for the guest memory');
  }
  if (translates) {
    return;
  }
  for (const vring of vrings) {
    const { usedLogAddress, index } = vring;
    if (usedLogAddress !== undefined && !log.covers(usedLogAddress, vring.usedBytes(packed))) {
      throw new VhostUserError('LOG_AREA', `it is too small for the used ring of vring ${index}`);
    }
  }
}

const AREA_FAULTS: Readonly<Record<string, string>> = {
  EINVAL: 'size zero, too large, a sum that wraps, or an offset that is not on a page',
  EBADF: 'its descriptor is no regular file or memfd',
  EACCES: 'its descriptor is not open for reading and writing',
  EPERM: 'its descriptor is sealed against writing',
  EOVERFLOW: 'its file is shorter than offset plus size',
};

export async function setLogFd(session: Session, _: undefined, fds: FdBag): Promise<bigint> {
  const kind = fdKind(fds.borrow()[0] as number);
  if (kind !== 'eventfd') {
    throw new VhostUserError('FD_KIND', kind);
  }
  await session.dirtyLog.setSignal(fds.take());
  return SUCCESS;
}
