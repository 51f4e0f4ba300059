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
const PACKED_INDEX_MASK = 0x7fff;
const PACKED_WORD_BITS = 16;

export async function setVringNum(session: Session, { index, num }: VringState): Promise<bigint> {
  const vring = session.vring(index);
  vring.requireStopped('size');
  // VIRTIO 1.3 §2.7: a power of two; §2.8.10.1: a packed ring has any size.
  const fits = num > 0 && (session.packed || (num & (num - 1)) === 0);
  if (!fits || num > session.device.maxQueueSize()) {
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
  // VIRTIO 1.3 §2.7: 16, 2 and 4; §2.8.10.1: 16, 4 and 4.
  const availableAlign = session.packed ? 4n : 2n;
  if (descriptorAddress % 16n || availableAddress % availableAlign || usedAddress % 4n) {
    throw new VhostUserError('VRING_ADDRESS', `vring ${vring.index} is misaligned`);
  }
  const logged = (addresses.flags & VHOST_VRING_F_LOG) !== 0;
  const usedBytes = vring.usedBytes(session.packed);
  // Behind an IOMMU the log's address is one, too, and the log is looked for where that leads.
  const known = logged && !session.translates;
  if (known && !session.dirtyLog.mayCover(addresses.logAddress, usedBytes)) {
    throw new VhostUserError('LOG_AREA', `it is too small for the used ring of ${vring.index}`);
  }
  await vring.setAddresses(addresses, session.pool);
  await session.startIfReady(vring);
  return SUCCESS;
}

export async function setVringBase(session: Session, { index, num }: VringState): Promise<bigint> {
  const vring = session.vring(index);
  vring.requireStopped('base');
  if (!session.packed && num > SPLIT_BASE_MAX) {
    throw new VhostUserError('VRING_BASE', `${num}`);
  }
  vring.base = session.packed ? packedBase(num, vring.size) : num;
  return SUCCESS;
}

/** The avail position in the lower half, the used position in the upper one; each an index with
 *  the wrap counter above it. Size 0: not known yet, and looked at again when the ring starts. */
function packedBase(num: number, size: number): number {
  const avail = num & SPLIT_BASE_MAX;
  const told = num >>> PACKED_WORD_BITS;
  // DPDK's virtio-user says only where avail is. An upper half of zero that means what it says is a
  // used position of requests lost with a former back-end; nobody could return those either.
  const used = told === 0 ? avail : told;
  const [availIndex, usedIndex] = [avail & PACKED_INDEX_MASK, used & PACKED_INDEX_MASK];
  const sameRound = avail >> 15 === used >> 15;
  const behind = sameRound ? usedIndex <= availIndex : availIndex <= usedIndex;
  const inside = size === 0 || (availIndex < size && usedIndex < size);
  if (!behind || !inside) {
    throw new VhostUserError('VRING_BASE', `0x${num.toString(16)} of a packed ring of ${size}`);
  }
  return ((used << PACKED_WORD_BITS) | avail) >>> 0;
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
  if (session.translates) {
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
  session.notifier.signalledByFd ||= fd !== undefined;
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
