// Who of a daemon's guests may talk to whom, and the doors between them.

import { check, native } from '../../native/index.js';
import { SOCK_SEQPACKET } from './host-socket.js';
import type { SiblingOptions } from './sibling-end.js';

export interface SiblingMember {
  readonly guestCid: number;
  /** It reaches those it has one in common with, and nobody without any. */
  readonly groups: readonly string[];
}

interface Door {
  readonly member: SiblingMember;
  readonly inside: number;
  readonly outside: number;
}

export class SiblingDoors {
  readonly #doors: readonly Door[];

  constructor(members: readonly SiblingMember[]) {
    this.#doors = members.map((member) => {
      const ends = new Int32Array(2);
      check('socketpair', native.hostPair(SOCK_SEQPACKET, ends));
      const [inside, outside] = ends as unknown as [number, number];
      return { member, inside, outside };
    });
  }

  /** What one of them is to know. */
  of(guestCid: number): SiblingOptions | undefined {
    const own = this.#doors.find(({ member }) => member.guestCid === guestCid);
    if (own === undefined) {
      return undefined;
    }
    const others = this.#doors
      .filter((door) => door !== own && inCommon(door.member, own.member))
      .map(({ member, outside }) => ({ cid: member.guestCid, door: outside }));
    return { door: own.inside, others };
  }

  /** After all workers have ended. */
  close(): void {
    for (const { inside, outside } of this.#doors) {
      native.fdClose(inside);
      native.fdClose(outside);
    }
  }
}

function inCommon(a: SiblingMember, b: SiblingMember): boolean {
  return a.groups.some((group) => b.groups.includes(group));
}
