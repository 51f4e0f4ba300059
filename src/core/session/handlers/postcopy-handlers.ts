// Postcopy migration: advise, listen, end, and memory regions in between.

import { native, SystemError } from '../../../native/index.js';
import type { GuestMemory } from '../../memory/guest-memory.js';
import {
  encodeReply,
  frontendRequest,
  type MemoryRegion,
  payloadCodec,
  SUCCESS,
  VhostUserError,
} from '../../protocol/index.js';
import type { Session } from '../session.js';

const NOTHING = new Uint8Array(0);

export async function postcopyAdvise(session: Session): Promise<undefined> {
  try {
    const fd = session.postcopy.advise();
    session.replyInstead(encodeReply(frontendRequest('POSTCOPY_ADVISE').id, NOTHING), [fd]);
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
): void {
  session.postcopy.stage(next);
  const ours = regions.map((region) => atHost(next, region));
  const { id } = frontendRequest('SET_MEM_TABLE');
  session.replyInstead(encodeReply(id, payloadCodec('memTable').encode({ regions: ours })));
}

export function stageRegion(session: Session, next: GuestMemory, region: MemoryRegion): void {
  session.postcopy.stage(next);
  const { id } = frontendRequest('ADD_MEM_REG');
  const ours = atHost(next, region);
  session.replyInstead(encodeReply(id, payloadCodec('singleRegion').encode(ours)));
}

function atHost(memory: GuestMemory, region: MemoryRegion): MemoryRegion {
  return { ...region, userAddress: native.memoryHostAddress(memory.id, region.guestAddress) };
}
