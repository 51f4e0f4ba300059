// Requests the framework carries to the device: network announcements, shared objects and memory,
// the GPU's socket, migration state. A hook the device lacks is a request it does not support.

import { fdKind, native } from '../../../native/index.js';
import type { FdBag } from '../../connection/fd-bag.js';
import type { VirtioDevice } from '../../device.js';
import {
  DEVICE_STATE_DIRECTION_SAVE,
  type DeviceState,
  type PayloadOf,
  type SharedObject,
  type ShmemConfig,
  SUCCESS,
  sharedObjectCodec,
  VhostUserError,
} from '../../protocol/index.js';
import { ReplyWithFd } from '../reply-with-fd.js';
import type { Session } from '../session.js';
import { StateTransfer } from '../state-transfer.js';
import { withLimit } from '../with-limit.js';

const MAC_BYTES = 6;
/** VIRTIO 1.3 §5.1.4.1: what a device may say of its MTU. */
const MTU_MIN = 68n;
const MTU_MAX = 65535n;
/** Bit 8 of the reply: no descriptor comes back, the front-end's own is used. */
const STATE_NO_FD = 0x100n;
/** The device has seen the end of its state, so all that is left is to take it over. */
const STATE_END_TIMEOUT_MS = 30_000;

/** What a hook throws is its refusal; the session goes on. */
async function asked<T>(hook: () => T | Promise<T>): Promise<T> {
  try {
    return await hook();
  } catch (error) {
    throw refusal(error);
  }
}

function refusal(error: unknown): VhostUserError {
  return error instanceof VhostUserError
    ? error
    : new VhostUserError('DEVICE', error instanceof Error ? error.message : String(error), {
        cause: error,
      });
}

function requireHook<K extends keyof VirtioDevice>(
  session: Session,
  hook: K,
): NonNullable<VirtioDevice[K]> {
  const found = session.device[hook];
  if (found === undefined) {
    throw new VhostUserError('UNSUPPORTED', hook);
  }
  return found as NonNullable<VirtioDevice[K]>;
}

/** The six bytes lie in the u64 as in memory: the first one is the lowest. */
export async function sendRarp(session: Session, word: PayloadOf<'SEND_RARP'>): Promise<bigint> {
  const hook = requireHook(session, 'sendRarp');
  const mac = Uint8Array.from({ length: MAC_BYTES }, (_, i) =>
    Number((word >> BigInt(8 * i)) & 0xffn),
  );
  await asked(() => hook.call(session.device, mac));
  return SUCCESS;
}

export async function netSetMtu(session: Session, mtu: PayloadOf<'NET_SET_MTU'>): Promise<bigint> {
  const hook = requireHook(session, 'setMtu');
  if (mtu < MTU_MIN || mtu > MTU_MAX) {
    throw new VhostUserError('PAYLOAD_VALUE', `MTU ${mtu}`);
  }
  await asked(() => hook.call(session.device, Number(mtu)));
  return SUCCESS;
}

export async function getSharedObject(
  session: Session,
  object: SharedObject,
): Promise<undefined | ReplyWithFd<undefined>> {
  const hook = requireHook(session, 'getSharedObject');
  const fd = await asked(() => hook.call(session.device, sharedObjectCodec.encode(object)));
  return fd === undefined ? undefined : new ReplyWithFd(undefined, duplicated(fd));
}

function duplicated(fd: number): number {
  const copy = native.fdDuplicate(fd);
  if (copy < 0) {
    throw new VhostUserError('FD_LIMIT', 'the shared object can not be handed over');
  }
  return copy;
}

export async function getShmemConfig(session: Session): Promise<ShmemConfig> {
  const hook = requireHook(session, 'getShmemConfig');
  const sizes = await asked(() => hook.call(session.device));
  return {
    regions: sizes.flatMap((sizeBytes, shmemId) =>
      sizeBytes === 0n ? [] : [{ shmemId, sizeBytes }],
    ),
  };
}

export async function gpuSetSocket(session: Session, _: undefined, fds: FdBag): Promise<bigint> {
  const hook = requireHook(session, 'setGpuSocket');
  const kind = fdKind(fds.borrow()[0] as number);
  if (kind !== 'socket') {
    throw new VhostUserError('FD_KIND', kind);
  }
  const fd = fds.take();
  try {
    await asked(() => hook.call(session.device, fd));
  } catch (error) {
    native.fdClose(fd);
    throw error;
  }
  return SUCCESS;
}

export async function setDeviceStateFd(
  session: Session,
  { direction }: DeviceState,
  fds: FdBag,
): Promise<bigint> {
  const hook = requireHook(session, 'setDeviceState');
  const kind = fdKind(fds.borrow()[0] as number);
  if (kind !== 'pipe' && kind !== 'socket') {
    throw new VhostUserError('FD_KIND', kind);
  }
  for (const vring of session.vrings) {
    vring.requireStopped('device state');
  }
  if (session.stateTransfer?.running) {
    throw new VhostUserError('SESSION_STATE', 'device state is being transferred already');
  }
  const way = direction === DEVICE_STATE_DIRECTION_SAVE ? 'save' : 'load';
  session.stateTransfer = new StateTransfer(fds.take(), (fd) => hook.call(session.device, way, fd));
  return SUCCESS | STATE_NO_FD;
}

export async function checkDeviceState(session: Session): Promise<bigint> {
  const transfer = session.stateTransfer;
  if (transfer === undefined) {
    throw new VhostUserError('SESSION_STATE', 'no device state was transferred');
  }
  const error = await withLimit(
    transfer.ended,
    STATE_END_TIMEOUT_MS,
    () => new VhostUserError('DEVICE', 'the transfer of device state does not end'),
  );
  if (error !== undefined) {
    throw refusal(error);
  }
  await asked(() => session.device.checkDeviceState?.());
  return SUCCESS;
}
