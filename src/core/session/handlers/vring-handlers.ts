// Set-up, start and stop of one vring.

import { type FdKind, fdKind, native } from '../../../native/index.js';
import type { FdBag } from '../../connection/fd-bag.js';
import {
  hasFeature,
  type PayloadOf,
  SUCCESS,
  VhostUserError,
  VIRTIO_F_ACCESS_PLATFORM,
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
  if (vring.started) {
    // Sent again only to change the log flag; the same addresses are no change.
    const same =
      vring.addresses?.descriptorAddress === descriptorAddress &&
      vring.addresses.availableAddress === availableAddress &&
      vring.addresses.usedAddress === usedAddress;
    if (!same) {
      vring.requireStopped('addresses');
    }
  }
  vring.addresses = addresses;
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

export async function getVringBase(session: Session, { index }: VringState): Promise<VringState> {
  const base = await session.stopVring(session.vring(index));
  if (hasFeature(session.ackedFeatures, VIRTIO_F_ACCESS_PLATFORM)) {
    // QEMU tells a stopped device of no invalidation: what it knew must be asked for again. Vrings
    // that run on lose nothing but time.
    await session.forgetTranslations();
  }
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
