// Postcopy migration: advise, listen, end, and memory regions in between.

import { check, native, SystemError } from '../../../native/index.js';
import type { GuestMemory } from '../../memory/guest-memory.js';
import {
  encodeReply,
  frontendRequest,
  type MemoryRegion,
  payloadCodec,
  SUCCESS,
  VhostUserError,
} from '../../protocol/index.js';
import { ReplyInstead, ReplyWithFd } from '../reply-with-fd.js';
import type { Session } from '../session.js';

export async function postcopyAdvise(session: Session): Promise<ReplyWithFd<undefined>> {
  try {
    const fd = session.postcopy.advise();
    return new ReplyWithFd(undefined, check('duplicate userfaultfd', native.fdDuplicate(fd)));
  } catch (error) {
    if (!(error instanceof SystemError)) {
      throw error;
    }
    throw new VhostUserError('UNSUPPORTED', error.message, { cause: error });
  }
}

export async function postcopyListen(session: Session): Promise<bigint> {
  session.postcopy.listen(session.memory.regionCount);
  return SUCCESS;
}

export async function postcopyEnd(session: Session): Promise<bigint> {
  if (!session.postcopy.end(session.memory)) {
    throw new VhostUserError('SESSION_STATE', 'there is no postcopy to end');
  }
  return SUCCESS;
}

/** In postcopy the answer to a table is the table, with our addresses in place of the
 *  front-end's: it knows page faults by those. */
export function stageMemTable(
  session: Session,
  next: GuestMemory,
  regions: readonly MemoryRegion[],
): ReplyInstead {
  session.postcopy.stage(next);
  const ours = regions.map((region) => atHost(next, region));
  const { id } = frontendRequest('SET_MEM_TABLE');
  return new ReplyInstead(encodeReply(id, payloadCodec('memTable').encode({ regions: ours })));
}

export function stageRegion(
  session: Session,
  next: GuestMemory,
  region: MemoryRegion,
): ReplyInstead {
  session.postcopy.stage(next);
  const { id } = frontendRequest('ADD_MEM_REG');
  const ours = atHost(next, region);
  return new ReplyInstead(encodeReply(id, payloadCodec('singleRegion').encode(ours)));
}

function atHost(memory: GuestMemory, region: MemoryRegion): MemoryRegion {
  return { ...region, userAddress: native.memoryHostAddress(memory.id, region.guestAddress) };
}
