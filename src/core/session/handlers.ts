// One function for each front-end request, in the order of the table. A handler returns what the
// reply carries (0n for an acknowledgement) or throws VhostUserError; it takes the descriptors it
// keeps out of the bag, the session closes the rest.

import { type FdKind, fdKind, native, SystemError } from '../../native/index.js';
import { GuestMemory } from '../memory/guest-memory.js';
import {
  type FrontendRequestName,
  hasFeature,
  type MemoryRegion,
  type PayloadOf,
  type ReplyOf,
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_STATUS,
  VhostUserError,
  VIRTIO_F_VERSION_1,
  type VringFd,
  type VringState,
} from '../protocol/index.js';
import { BackendChannel } from './backend-channel.js';
import type { FdBag } from './fd-bag.js';
import type { Session } from './session.js';

/** What every device gets from the framework. */
const FRAMEWORK_FEATURES =
  VHOST_USER_PROTOCOL_F_MQ |
  VHOST_USER_PROTOCOL_F_REPLY_ACK |
  VHOST_USER_PROTOCOL_F_BACKEND_REQ |
  VHOST_USER_PROTOCOL_F_CONFIG |
  VHOST_USER_PROTOCOL_F_RESET_DEVICE |
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
  VHOST_USER_PROTOCOL_F_STATUS;

/** What rust-vmm and libvhost-user answer too; QEMU uses at most 512. */
export const MEM_SLOTS_MAX = 509;
/** QEMU's VHOST_USER_MAX_CONFIG_SIZE: no device has more config space. */
export const CONFIG_BYTES_MAX = 256;
/** VIRTIO 1.3 §2.1: device status is one byte. */
const STATUS_MAX = 0xffn;
const STATUS_FEATURES_OK = 8;
const SPLIT_BASE_MAX = 0xffff;

const OK = 0n;

type Handler<N extends FrontendRequestName> = (
  session: Session,
  payload: PayloadOf<N>,
  fds: FdBag,
) => Promise<ReplyOf<N>>;

type Handlers = { readonly [N in FrontendRequestName]: Handler<N> };

async function unsupported(): Promise<never> {
  throw new VhostUserError('UNSUPPORTED');
}

async function setFeatures(session: Session, features: bigint): Promise<bigint> {
  if ((features & ~session.offeredFeatures) !== 0n) {
    throw new VhostUserError('FEATURE_NOT_OFFERED', `0x${features.toString(16)}`);
  }
  if (!hasFeature(features, VIRTIO_F_VERSION_1)) {
    throw new VhostUserError('FEATURE_REQUIRED', 'VIRTIO_F_VERSION_1 (a modern driver)');
  }
  // virtio_uml sends SET_FEATURES twice, the second time without bit 30: that one may change too.
  const free = VHOST_F_LOG_ALL | VHOST_USER_F_PROTOCOL_FEATURES;
  const running = session.vrings.some((vring) => vring.started);
  if (running && (features & ~free) !== (session.ackedFeatures & ~free)) {
    throw new VhostUserError('VRING_STATE', 'features changed while vrings run');
  }
  await session.device.ackedFeatures?.(features);
  session.ackedFeatures = features;
  session.featuresSet = true;
  if (!hasFeature(features, VHOST_USER_F_PROTOCOL_FEATURES)) {
    // vhost-user "Ring states": without bit 30 rings are enabled from the start.
    await enableAll(session, true);
  }
  return OK;
}

async function enableAll(session: Session, enabled: boolean): Promise<void> {
  for (const vring of session.vrings) {
    await vring.setEnabled(enabled, session.pool);
  }
}

/** Features in force when the first SET_FEATURES lacks bit 30 leave rings enabled; one with the bit
 *  never disables them again. */
async function setVringEnable(session: Session, { index, num }: VringState): Promise<bigint> {
  if (num > 1) {
    throw new VhostUserError('PAYLOAD_VALUE', `enable ${num}`);
  }
  await session.vring(index).setEnabled(num === 1, session.pool);
  return OK;
}

async function setMemTable(
  session: Session,
  { regions }: PayloadOf<'SET_MEM_TABLE'>,
  fds: FdBag,
): Promise<bigint> {
  if (regions.length === 0) {
    throw new VhostUserError('MEMORY_REGION', 'a table of no regions');
  }
  const borrowed = fds.borrow();
  const next = mapped(() =>
    GuestMemory.of(regions.map((region, i) => ({ ...region, fd: borrowed[i] as number }))),
  );
  await session.changeMemory(next);
  return OK;
}

async function addMemReg(session: Session, region: MemoryRegion, fds: FdBag): Promise<bigint> {
  if (session.memory.regionCount >= MEM_SLOTS_MAX) {
    throw new VhostUserError('MEMORY_SLOTS');
  }
  const next = mapped(() => session.memory.with(fds.borrow()[0] as number, region));
  await session.changeMemory(next);
  return OK;
}

async function remMemReg(session: Session, region: MemoryRegion): Promise<bigint> {
  await session.changeMemory(mapped(() => session.memory.without(region)));
  return OK;
}

/** Runs a change of memory; what the system refused becomes the front-end's fault, in words. */
function mapped(change: () => GuestMemory): GuestMemory {
  try {
    return change();
  } catch (error) {
    if (!(error instanceof SystemError)) {
      throw error;
    }
    const detail = REGION_FAULTS[error.code] ?? error.code;
    throw new VhostUserError('MEMORY_REGION', detail, { cause: error });
  }
}

const REGION_FAULTS: Readonly<Record<string, string>> = {
  EINVAL: 'size zero, too large, or addresses that wrap',
  EBADF: 'its descriptor is no regular file or memfd',
  EACCES: 'its descriptor is not open for reading and writing',
  EPERM: 'its descriptor is sealed against writing',
  EOVERFLOW: 'its file is shorter than offset plus size',
  EEXIST: 'it overlaps another region',
  ENOENT: 'there is no such region',
};

async function setVringNum(session: Session, { index, num }: VringState): Promise<bigint> {
  const vring = session.vring(index);
  vring.requireStopped('size');
  const powerOfTwo = num > 0 && (num & (num - 1)) === 0;
  if (!powerOfTwo || num > session.device.maxQueueSize()) {
    throw new VhostUserError('VRING_SIZE', `${num}, limit ${session.device.maxQueueSize()}`);
  }
  vring.size = num;
  return OK;
}

async function setVringAddr(
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
  return OK;
}

async function setVringBase(session: Session, { index, num }: VringState): Promise<bigint> {
  const vring = session.vring(index);
  vring.requireStopped('base');
  if (num > SPLIT_BASE_MAX) {
    throw new VhostUserError('VRING_BASE', `${num}`);
  }
  vring.base = num;
  return OK;
}

async function getVringBase(session: Session, { index }: VringState): Promise<VringState> {
  const base = await session.stopVring(session.vring(index));
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

async function setVringKick(session: Session, word: VringFd, fds: FdBag): Promise<bigint> {
  const vring = session.vring(word.index);
  vring.requireStopped('kick');
  vring.setKick(vringFd(word, fds, ['eventfd']));
  await session.startIfReady(vring);
  return OK;
}

/** Where a call may go: User-mode Linux hands over a socket, others an eventfd. */
const SIGNAL_KINDS: readonly FdKind[] = ['eventfd', 'socket', 'pipe'];

async function setVringCall(session: Session, word: VringFd, fds: FdBag): Promise<bigint> {
  const vring = session.vring(word.index);
  const fd = vringFd(word, fds, SIGNAL_KINDS);
  if (fd !== undefined && fdKind(fd) === 'eventfd') {
    // Once on receipt: after a reconnect the interrupt may have been lost with the former
    // back-end. QEMU's own vhost-user-blk test waits for it.
    native.eventfdSignal(fd);
  }
  await vring.setCall(fd, session.pool);
  return OK;
}

async function setVringErr(session: Session, word: VringFd, fds: FdBag): Promise<bigint> {
  const vring = session.vring(word.index);
  await vring.setErr(vringFd(word, fds, SIGNAL_KINDS), session.pool);
  return OK;
}

async function setProtocolFeatures(session: Session, features: bigint): Promise<bigint> {
  if ((features & ~offeredProtocolFeatures(session)) !== 0n) {
    throw new VhostUserError('FEATURE_NOT_OFFERED', `protocol 0x${features.toString(16)}`);
  }
  session.protocolFeatures = features;
  return OK;
}

function offeredProtocolFeatures(session: Session): bigint {
  return FRAMEWORK_FEATURES | session.device.protocolFeatures();
}

async function setBackendReqFd(session: Session, fds: FdBag): Promise<bigint> {
  const fd = fds.borrow()[0] as number;
  if (fdKind(fd) !== 'socket') {
    throw new VhostUserError('FD_KIND', fdKind(fd));
  }
  session.backendChannel?.close();
  session.backendChannel = new BackendChannel(fds.take(), session.log);
  return OK;
}

async function getConfig(
  session: Session,
  { offset, bytes, flags }: PayloadOf<'GET_CONFIG'>,
): Promise<PayloadOf<'GET_CONFIG'>> {
  checkConfigRange(offset, bytes.byteLength);
  // The asked size, zero-padded: SPDK's front-end takes no shorter answer.
  const answer = new Uint8Array(bytes.byteLength);
  answer.set(session.device.getConfig?.(offset, bytes.byteLength) ?? []);
  return { offset, flags, bytes: answer };
}

function checkConfigRange(offset: number, bytes: number): void {
  if (bytes === 0 || offset + bytes > CONFIG_BYTES_MAX) {
    throw new VhostUserError('CONFIG_RANGE', `${offset} + ${bytes}`);
  }
}

async function setConfig(
  session: Session,
  { offset, bytes, flags }: PayloadOf<'SET_CONFIG'>,
): Promise<bigint> {
  checkConfigRange(offset, bytes.byteLength);
  // The text says 0 = driver, 1 = migration; rust-vmm and crosvm send 1 for a driver's write and 2
  // for migration. 1 is taken for a driver's, which every device bounds the most.
  if (flags > 2) {
    throw new VhostUserError('PAYLOAD_VALUE', `config flags ${flags}`);
  }
  if (session.device.setConfig === undefined) {
    throw new VhostUserError('CONFIG_READ_ONLY');
  }
  await session.device.setConfig(offset, bytes, flags === 2 ? 'migration' : 'driver');
  return OK;
}

async function resetDevice(session: Session): Promise<bigint> {
  await session.stopAllVrings();
  await enableAll(session, false);
  await session.device.resetDevice?.();
  session.status = 0;
  return OK;
}

async function setStatus(session: Session, status: bigint): Promise<bigint> {
  if (status > STATUS_MAX) {
    throw new VhostUserError('PAYLOAD_VALUE', `status 0x${status.toString(16)}`);
  }
  if (status === 0n) {
    await resetDevice(session);
  }
  session.status = Number(status);
  return OK;
}

export const HANDLERS: Handlers = {
  GET_FEATURES: async (session) => session.offeredFeatures,
  SET_FEATURES: setFeatures,
  SET_OWNER: async () => OK,
  // Deprecated: what is left of it is that rings are disabled, with nothing in flight (CS-057).
  RESET_OWNER: async (session) => {
    await session.stopAllVrings();
    await enableAll(session, false);
    return OK;
  },
  SET_MEM_TABLE: setMemTable,
  SET_LOG_BASE: unsupported,
  SET_LOG_FD: unsupported,
  SET_VRING_NUM: setVringNum,
  SET_VRING_ADDR: setVringAddr,
  SET_VRING_BASE: setVringBase,
  GET_VRING_BASE: getVringBase,
  SET_VRING_KICK: setVringKick,
  SET_VRING_CALL: setVringCall,
  SET_VRING_ERR: setVringErr,
  GET_PROTOCOL_FEATURES: async (session) => offeredProtocolFeatures(session),
  SET_PROTOCOL_FEATURES: setProtocolFeatures,
  GET_QUEUE_NUM: async (session) => BigInt(session.vrings.length),
  SET_VRING_ENABLE: setVringEnable,
  SEND_RARP: unsupported,
  NET_SET_MTU: unsupported,
  SET_BACKEND_REQ_FD: (session, _, fds) => setBackendReqFd(session, fds),
  IOTLB_MSG: unsupported,
  SET_VRING_ENDIAN: unsupported,
  GET_CONFIG: getConfig,
  SET_CONFIG: setConfig,
  CREATE_CRYPTO_SESSION: unsupported,
  CLOSE_CRYPTO_SESSION: unsupported,
  POSTCOPY_ADVISE: unsupported,
  POSTCOPY_LISTEN: unsupported,
  POSTCOPY_END: unsupported,
  GET_INFLIGHT_FD: unsupported,
  SET_INFLIGHT_FD: unsupported,
  GPU_SET_SOCKET: unsupported,
  RESET_DEVICE: resetDevice,
  VRING_KICK: unsupported,
  GET_MAX_MEM_SLOTS: async () => BigInt(MEM_SLOTS_MAX),
  ADD_MEM_REG: addMemReg,
  REM_MEM_REG: remMemReg,
  SET_STATUS: setStatus,
  // FEATURES_OK reads back as set only when the features were taken (VIRTIO 1.3 §3.1.1).
  GET_STATUS: async (session) =>
    BigInt(session.featuresSet ? session.status : session.status & ~STATUS_FEATURES_OK),
  GET_SHARED_OBJECT: unsupported,
  SET_DEVICE_STATE_FD: unsupported,
  CHECK_DEVICE_STATE: unsupported,
  GET_SHMEM_CONFIG: unsupported,
};
