// Set-up, start and stop of one vring.

import { type FdKind, fdKind, native } from '../../../native/index.js';
import type { FdBag } from '../../connection/fd-bag.js';
import {
  hasFeature,
  type PayloadOf,
  SUCCESS,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_VRING_F_LOG,
  VhostUserError,
  type VringFd,
  type VringState,
} from '../../protocol/index.js';
import type { Session } from '../session.js';

const SPLIT_BASE_MAX = 0xffff;

export async function setVringNum(session: Session, { index, num }: VringState): Promise<bigint> {
  const vring = session.vring(index);
  vring.requireStopped('size');
  const powerOfTwo = num > 0 && (num & (num - 1)) === 0;
  if (!powerOfTwo || num > session.device.maxQueueSize()) {
    throw new VhostUserError('VRING_SIZE', `${num}, limit ${session.device.maxQueueSize()}`);
  }
  vring.size = num;
  return SUCCESS;
}

export async function setVringAddr(
  session: Session,
  addresses: PayloadOf<'SET_VRING_ADDR'>,
): Promise<bigint> {
  const vring = session.vring(addresses.index);
  const { descriptorAddress, availableAddress, usedAddress } = addresses;
  // VIRTIO 1.3 §2.7: 16, 2 and 4.
  if (descriptorAddress % 16n || availableAddress % 2n || usedAddress % 4n) {
    throw new VhostUserError('VRING_ADDRESS', `vring ${vring.index} is misaligned`);
  }
  const logged = (addresses.flags & VHOST_VRING_F_LOG) !== 0;
  if (logged && !session.dirtyLog.mayCover(addresses.logAddress, vring.usedBytes)) {
    throw new VhostUserError('LOG_AREA', `it is too small for the used ring of ${vring.index}`);
  }
  await vring.setAddresses(addresses, session.pool);
  await session.startIfReady(vring);
  return SUCCESS;
}

export async function setVringBase(session: Session, { index, num }: VringState): Promise<bigint> {
  const vring = session.vring(index);
  vring.requireStopped('base');
  if (num > SPLIT_BASE_MAX) {
    throw new VhostUserError('VRING_BASE', `${num}`);
  }
  vring.base = num;
  return SUCCESS;
}

/** num 1, once negotiated: what is in flight stays in the inflight area for whoever starts the ring
 *  next. Without an area nobody could, so it is drained. */
export async function getVringBase(
  session: Session,
  { index, num }: VringState,
): Promise<VringState> {
  const negotiated = hasFeature(
    session.protocolFeatures,
    VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  );
  const suspend = num === 1 && negotiated && session.recordsInflight;
  const base = await session.stopVring(session.vring(index), suspend);
  return { index, num: base };
}

/** The message's descriptor when it has one, of a kind that can do the work. */
function vringFd({ hasFd }: VringFd, fds: FdBag, kinds: readonly FdKind[]): number | undefined {
  if (!hasFd) {
    return undefined;
  }
  const kind = fdKind(fds.borrow()[0] as number);
  if (!kinds.includes(kind)) {
    throw new VhostUserError('FD_KIND', kind);
  }
  return fds.take();
}

export async function setVringKick(session: Session, word: VringFd, fds: FdBag): Promise<bigint> {
  const vring = session.vring(word.index);
  vring.requireStopped('kick');
  vring.setKick(vringFd(word, fds, ['eventfd']));
  await session.startIfReady(vring);
  return SUCCESS;
}

export async function vringKick(session: Session, { index, num }: VringState): Promise<bigint> {
  if (num !== 0) {
    throw new VhostUserError('PAYLOAD_VALUE', `kick with number ${num}`);
  }
  const vring = session.vring(index);
  await vring.kickInband(session.pool);
  await session.startIfReady(vring);
  return SUCCESS;
}

/** Where a call may go: User-mode Linux hands over a socket, others an eventfd. */
const SIGNAL_KINDS: readonly FdKind[] = ['eventfd', 'socket', 'pipe'];

export async function setVringCall(session: Session, word: VringFd, fds: FdBag): Promise<bigint> {
  const vring = session.vring(word.index);
  const fd = vringFd(word, fds, SIGNAL_KINDS);
  if (fd !== undefined && fdKind(fd) === 'eventfd') {
    // Once on receipt: after a reconnect the interrupt may have been lost with the former
    // back-end. QEMU's own vhost-user-blk test waits for it.
    native.eventfdSignal(fd);
  }
  await vring.setCall(fd, session.pool);
  return SUCCESS;
}

export async function setVringErr(session: Session, word: VringFd, fds: FdBag): Promise<bigint> {
  const vring = session.vring(word.index);
  await vring.setErr(vringFd(word, fds, SIGNAL_KINDS), session.pool);
  return SUCCESS;
}

/** Features in force when the first SET_FEATURES lacks bit 30 leave rings enabled; one with the bit
 *  never disables them again. */
export async function setVringEnable(
  session: Session,
  { index, num }: VringState,
): Promise<bigint> {
  if (num > 1) {
    throw new VhostUserError('PAYLOAD_VALUE', `enable ${num}`);
  }
  await session.vring(index).setEnabled(num === 1, session.pool);
  return SUCCESS;
}
