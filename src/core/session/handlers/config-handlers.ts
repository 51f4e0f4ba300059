// Config space, and the channel on which the back-end tells of its changes.

import { fdKind } from '../../../native/index.js';
import type { FdBag } from '../../connection/fd-bag.js';
import { type PayloadOf, SUCCESS, VhostUserError } from '../../protocol/index.js';
import { BackendChannel } from '../backend-channel.js';
import type { Session } from '../session.js';

/** QEMU's VHOST_USER_MAX_CONFIG_SIZE: no device has more config space. */
export const CONFIG_BYTES_MAX = 256;

export async function getConfig(
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

export async function setConfig(
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
  return SUCCESS;
}

export async function setBackendReqFd(session: Session, _: undefined, fds: FdBag): Promise<bigint> {
  const fd = fds.borrow()[0] as number;
  if (fdKind(fd) !== 'socket') {
    throw new VhostUserError('FD_KIND', fdKind(fd));
  }
  session.backendChannel?.close();
  session.backendChannel = new BackendChannel(fds.take(), session.log);
  session.translations.useChannel(session.backendChannel);
  return SUCCESS;
}
