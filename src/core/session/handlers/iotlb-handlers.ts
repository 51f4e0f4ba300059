// Translations of I/O addresses the front-end gives and takes back.

import { SystemError } from '../../../native/index.js';
import {
  hasFeature,
  IOTLB_PERM_NONE,
  IOTLB_TYPE_INVALIDATE,
  IOTLB_TYPE_UPDATE,
  type IotlbMessage,
  SUCCESS,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VhostUserError,
} from '../../protocol/index.js';
import type { Session } from '../session.js';

const ADDRESS_MAX = (1n << 64n) - 1n;

/** vhost-user: IOTLB_MSG. Answered when the change is in force: after an update rings that waited
 *  go on, after an invalidation no request uses the range any more. */
export async function iotlbMsg(session: Session, message: IotlbMessage): Promise<bigint> {
  if (message.type === IOTLB_TYPE_UPDATE) {
    await update(session, message);
  } else if (message.type === IOTLB_TYPE_INVALIDATE) {
    await invalidate(session, message);
  } else {
    // A miss and a failed access are ours to say.
    throw new VhostUserError('PAYLOAD_VALUE', `IOTLB type ${message.type} from a front-end`);
  }
  return SUCCESS;
}

async function update(session: Session, message: IotlbMessage): Promise<void> {
  const { iova, sizeBytes, userAddress, perm } = message;
  if (perm === IOTLB_PERM_NONE) {
    throw new VhostUserError('PAYLOAD_VALUE', 'a translation that permits nothing');
  }
  try {
    const next = session.memory.withTranslation({
      iova,
      sizeBytes,
      target: userAddress,
      permissions: perm,
      targetIsGuest: hasFeature(session.protocolFeatures, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES),
    });
    if (next !== undefined) {
      await session.changeTranslations(next, { first: iova, last: iova + sizeBytes - 1n });
    }
  } catch (error) {
    if (!(error instanceof SystemError)) {
      throw error;
    }
    const detail = `I/O address 0x${iova.toString(16)} + ${sizeBytes}`;
    throw new VhostUserError('TRANSLATION', detail, { cause: error });
  }
}

/** Never refused: to forget too much is harmless. No size, or one that wraps, means to the end;
 *  QEMU's "everything" is a size of 2^64, which is 0 on the wire. */
async function invalidate(session: Session, { iova, sizeBytes }: IotlbMessage): Promise<void> {
  const end = iova + sizeBytes - 1n;
  const last = sizeBytes === 0n || end > ADDRESS_MAX ? ADDRESS_MAX : end;
  const next = session.memory.withoutTranslations(iova, last);
  await session.changeTranslations(next, { first: iova, last });
}
