// The memory table, whole or in slots.

import { SystemError } from '../../../native/index.js';
import type { FdBag } from '../../connection/fd-bag.js';
import { GuestMemory } from '../../memory/guest-memory.js';
import {
  type MemoryRegion,
  type PayloadOf,
  SUCCESS,
  VhostUserError,
} from '../../protocol/index.js';
import type { ReplyInstead } from '../reply-with-fd.js';
import type { Session } from '../session.js';
import { stageMemTable, stageRegion } from './postcopy-handlers.js';

/** What rust-vmm and libvhost-user answer too; QEMU uses at most 512. */
export const MEM_SLOTS_MAX = 509;

export async function setMemTable(
  session: Session,
  { regions }: PayloadOf<'SET_MEM_TABLE'>,
  fds: FdBag,
): Promise<bigint | ReplyInstead> {
  if (regions.length === 0) {
    throw new VhostUserError('MEMORY_REGION', 'a table of no regions');
  }
  const borrowed = fds.borrow();
  const next = mapped(() =>
    GuestMemory.of(regions.map((region, i) => ({ ...region, fd: borrowed[i] as number }))),
  );
  if (session.postcopy.listening) {
    return stageMemTable(session, next, regions);
  }
  await session.changeMemory(next);
  return SUCCESS;
}

export async function addMemReg(
  session: Session,
  region: MemoryRegion,
  fds: FdBag,
): Promise<bigint | ReplyInstead> {
  const former = session.postcopy.staged ?? session.memory;
  if (former.regionCount >= MEM_SLOTS_MAX) {
    throw new VhostUserError('MEMORY_SLOTS');
  }
  const next = mapped(() => withRegion(former, fds.borrow()[0] as number, region));
  if (session.postcopy.listening) {
    return stageRegion(session, next, region);
  }
  await session.changeMemory(next);
  return SUCCESS;
}

export async function remMemReg(session: Session, region: MemoryRegion): Promise<bigint> {
  if (session.postcopy.staged !== undefined) {
    throw new VhostUserError('SESSION_STATE', 'regions wait for their postcopy acknowledgement');
  }
  await session.changeMemory(mapped(() => session.memory.without(region)));
  return SUCCESS;
}

/** QEMU 7.2 sends the regions of a network card once for each of its queue pairs. The same region
 *  again takes the place of the former: its descriptor may be of another file. */
function withRegion(memory: GuestMemory, fd: number, region: MemoryRegion): GuestMemory {
  let others: GuestMemory;
  try {
    others = memory.without(region);
  } catch (error) {
    if (!(error instanceof SystemError)) {
      throw error;
    }
    return memory.with(fd, region);
  }
  try {
    return others.with(fd, region);
  } finally {
    others.release();
  }
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
