// Features, protocol features, status and reset: what is agreed, and how it ends.

import type { VirtioDevice } from '../../device.js';
import { GuestMemory } from '../../memory/guest-memory.js';
import {
  hasFeature,
  SUCCESS,
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_CROSS_ENDIAN,
  VHOST_USER_PROTOCOL_F_CRYPTO_SESSION,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_MTU,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
  VHOST_USER_PROTOCOL_F_RARP,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
  VHOST_USER_PROTOCOL_F_SHMEM,
  VHOST_USER_PROTOCOL_F_STATUS,
  VHOST_USER_PROTOCOL_F_XEN_MMAP,
  VhostUserError,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from '../../protocol/index.js';
import { postcopySupported } from '../postcopy.js';
import type { Session } from '../session.js';

/** What every device gets from the framework. */
const FRAMEWORK_FEATURES =
  VHOST_USER_PROTOCOL_F_MQ |
  VHOST_USER_PROTOCOL_F_LOG_SHMFD |
  VHOST_USER_PROTOCOL_F_REPLY_ACK |
  VHOST_USER_PROTOCOL_F_BACKEND_REQ |
  VHOST_USER_PROTOCOL_F_CONFIG |
  VHOST_USER_PROTOCOL_F_RESET_DEVICE |
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
  VHOST_USER_PROTOCOL_F_STATUS |
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT |
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD |
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS |
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES;

/** What a device offers by having the hook. */
const HOOK_FEATURES: readonly (readonly [keyof VirtioDevice, bigint])[] = [
  ['sendRarp', VHOST_USER_PROTOCOL_F_RARP],
  ['setMtu', VHOST_USER_PROTOCOL_F_MTU],
  ['getSharedObject', VHOST_USER_PROTOCOL_F_SHARED_OBJECT],
  ['setDeviceState', VHOST_USER_PROTOCOL_F_DEVICE_STATE],
  ['getShmemConfig', VHOST_USER_PROTOCOL_F_SHMEM],
];

/** Refused whatever a device says: Xen's foreign memory, legacy byte order, and the crypto
 *  messages, whose layout no document gives. */
const NEVER_OFFERED =
  VHOST_USER_PROTOCOL_F_XEN_MMAP |
  VHOST_USER_PROTOCOL_F_CROSS_ENDIAN |
  VHOST_USER_PROTOCOL_F_CRYPTO_SESSION;

/** VIRTIO 1.3 §2.1: device status is one byte. */
const STATUS_MAX = 0xffn;
const STATUS_FEATURES_OK = 8;

export async function setFeatures(session: Session, features: bigint): Promise<bigint> {
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
  // The log is no feature of the device: its derived state must not begin anew with a migration.
  await session.device.ackedFeatures?.(features & ~VHOST_F_LOG_ALL);
  session.device.setEventIdx?.(hasFeature(features, VIRTIO_F_RING_EVENT_IDX));
  await session.dirtyLog.setData(hasFeature(features, VHOST_F_LOG_ALL));
  if (!running && ((features | session.ackedFeatures) & VIRTIO_F_ACCESS_PLATFORM) !== 0n) {
    // A front-end invalidates only while the device runs: a guest that started anew may have mapped
    // everything elsewhere since.
    await session.forgetTranslations();
  }
  session.ackedFeatures = features;
  session.log.debug({ features: `0x${features.toString(16)}` }, 'features');
  session.featuresSet = true;
  if (!hasFeature(features, VHOST_USER_F_PROTOCOL_FEATURES)) {
    // vhost-user "Ring states": without bit 30 rings are enabled from the start.
    await enableAll(session, true);
  }
  return SUCCESS;
}

async function enableAll(session: Session, enabled: boolean): Promise<void> {
  for (const vring of session.vrings) {
    await vring.setEnabled(enabled, session.pool);
  }
}

export async function setProtocolFeatures(session: Session, features: bigint): Promise<bigint> {
  if ((features & ~offeredProtocolFeatures(session)) !== 0n) {
    throw new VhostUserError('FEATURE_NOT_OFFERED', `protocol 0x${features.toString(16)}`);
  }
  checkDependencies(features);
  const running = session.vrings.some((vring) => vring.started);
  const changed = features ^ session.protocolFeatures;
  if (running && (changed & VHOST_USER_PROTOCOL_F_GPA_ADDRESSES) !== 0n) {
    throw new VhostUserError('VRING_STATE', 'the kind of addresses changed while vrings run');
  }
  session.protocolFeatures = features;
  if ((changed & VHOST_USER_PROTOCOL_F_GPA_ADDRESSES) !== 0n) {
    await session.forgetTranslations();
  }
  return SUCCESS;
}

function checkDependencies(features: bigint): void {
  const suspends = hasFeature(features, VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT);
  if (suspends && !hasFeature(features, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)) {
    throw new VhostUserError(
      'FEATURE_DEPENDENCY',
      'GET_VRING_BASE_INFLIGHT without INFLIGHT_SHMFD',
    );
  }
  if (
    hasFeature(features, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS) &&
    !hasFeature(features, VHOST_USER_PROTOCOL_F_BACKEND_REQ | VHOST_USER_PROTOCOL_F_REPLY_ACK)
  ) {
    throw new VhostUserError('INBAND_INCOMPLETE');
  }
}

export function offeredProtocolFeatures(session: Session): bigint {
  const { device } = session;
  let offered = FRAMEWORK_FEATURES | (device.protocolFeatures() & ~NEVER_OFFERED);
  for (const [hook, feature] of HOOK_FEATURES) {
    offered |= device[hook] === undefined ? 0n : feature;
  }
  return hasFeature(offered, VHOST_USER_PROTOCOL_F_PAGEFAULT) && !postcopySupported()
    ? offered & ~VHOST_USER_PROTOCOL_F_PAGEFAULT
    : offered;
}

export async function resetDevice(session: Session): Promise<bigint> {
  await session.stopAllVrings();
  await enableAll(session, false);
  // State that is being loaded must not come after the reset; a peer that rests ends it by itself.
  await session.stateTransfer?.ended;
  session.stateTransfer = undefined;
  await session.device.resetDevice?.();
  session.status = 0;
  return SUCCESS;
}

export async function setStatus(session: Session, status: bigint): Promise<bigint> {
  if (status > STATUS_MAX) {
    throw new VhostUserError('PAYLOAD_VALUE', `status 0x${status.toString(16)}`);
  }
  if (status === 0n) {
    await resetDevice(session);
  }
  session.status = Number(status);
  return SUCCESS;
}

/** FEATURES_OK reads back as set only when the features were taken (VIRTIO 1.3 §3.1.1). */
export async function getStatus(session: Session): Promise<bigint> {
  return BigInt(session.featuresSet ? session.status : session.status & ~STATUS_FEATURES_OK);
}

/** The start of a session, which may come again on one connection: QEMU plugs a disk on that of the
 *  disk it unplugged, and adds the regions it never removed. */
export async function setOwner(session: Session): Promise<bigint> {
  const running = session.vrings.some((vring) => vring.started);
  if (session.owned && !running) {
    session.setInflight(undefined);
    await session.changeMemory(GuestMemory.empty());
  }
  session.owned = true;
  return SUCCESS;
}

/** Deprecated: what is left of it is that rings are disabled, with nothing in flight (CS-057). */
export async function resetOwner(session: Session): Promise<bigint> {
  await session.stopAllVrings();
  await enableAll(session, false);
  return SUCCESS;
}
