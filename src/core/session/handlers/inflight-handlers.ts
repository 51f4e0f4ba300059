// The area that outlives us: the front-end asks for one, keeps its descriptor, and hands it to each
// back-end it connects to (vhost-user "Inflight I/O tracking").

import { SystemError } from '../../../native/index.js';
import type { FdBag } from '../../connection/fd-bag.js';
import { InflightArea } from '../../memory/inflight-area.js';
import {
  hasFeature,
  type Inflight,
  SUCCESS,
  VhostUserError,
  VIRTIO_F_RING_PACKED,
} from '../../protocol/index.js';
import { ReplyWithFd } from '../reply-with-fd.js';
import type { Session } from '../session.js';

export async function getInflightFd(
  session: Session,
  asked: Inflight,
): Promise<ReplyWithFd<Inflight>> {
  const { queueCount, queueSize } = asked;
  checkCounts(session, asked);
  const packed = hasFeature(session.ackedFeatures, VIRTIO_F_RING_PACKED);
  const { fd, sizeBytes } = inWords(() => InflightArea.create(packed, queueCount, queueSize));
  const area = { ...asked, mmapSizeBytes: BigInt(sizeBytes), mmapOffsetBytes: 0n };
  return new ReplyWithFd(area, fd);
}

export async function setInflightFd(session: Session, area: Inflight, fds: FdBag): Promise<bigint> {
  for (const vring of session.vrings) {
    vring.requireStopped('inflight area');
  }
  checkCounts(session, area);
  session.setInflight(inWords(() => InflightArea.map(fds.borrow()[0] as number, area)));
  return SUCCESS;
}

/** Before anything is multiplied or allocated (CS-150, CVE-2021-3839). */
function checkCounts({ vrings, device }: Session, { queueCount, queueSize }: Inflight): void {
  const known = queueCount > 0 && queueCount <= vrings.length;
  if (!known || queueSize === 0 || queueSize > device.maxQueueSize()) {
    throw new VhostUserError('INFLIGHT_AREA', `${queueCount} queues of ${queueSize}`);
  }
}

/** What the system refused becomes the front-end's fault, in words. */
function inWords<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof SystemError)) {
      throw error;
    }
    const detail = AREA_FAULTS[error.code] ?? error.code;
    throw new VhostUserError('INFLIGHT_AREA', detail, { cause: error });
  }
}

const AREA_FAULTS: Readonly<Record<string, string>> = {
  EINVAL: 'too small for its queues, or an offset that is odd or wraps',
  EBADF: 'its descriptor is no regular file or memfd',
  EACCES: 'its descriptor is not open for reading and writing',
  EPERM: 'its descriptor is sealed against writing',
  EOVERFLOW: 'its file is shorter than offset plus size',
};
