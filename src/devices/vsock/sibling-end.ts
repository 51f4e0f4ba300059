// Guests of one daemon to each other. Each has a door, a pair of sockets: workers of its siblings
// write into the one end whom they bring, its own worker reads the other. A connection is a socket
// pair between two workers, so that payload moves as it does to a program of the host's.

import { constants } from 'node:os';
import { native } from '../../native/index.js';
import type {
  Answer,
  Cancel,
  GuestRequest,
  HostConnections,
  HostEnd,
  HostTarget,
} from './host-end.js';
import { socketType } from './host-socket.js';

/** The other guest's worker keeps to the two seconds of a guest; this is for one that hangs. */
const ANSWER_LIMIT_MS = 3000;
const ACCEPTED = Uint8Array.of(1);

/** What goes through a door: source CID, source port, destination port, type, descriptor. The
 *  descriptor moves with the message that carries its number, as all are of one process. */
const VISIT_WORDS = 5;

const EAGAIN = -constants.errno.EAGAIN;

export interface SiblingOptions {
  /** Ours, to be read. */
  readonly door: number;
  /** Guests of a group in common, and where to write to. */
  readonly others: readonly { readonly cid: number; readonly door: number }[];
}

/** Where this guest's connections to one of the others go. */
export class SiblingTarget implements HostTarget {
  readonly #guestCid: number;
  readonly #door: number;
  readonly #connections: HostConnections;

  constructor(guestCid: number, door: number, connections: HostConnections) {
    this.#guestCid = guestCid;
    this.#door = door;
    this.#connections = connections;
  }

  connect({ type, guestPort, hostPort }: GuestRequest, answer: Answer): Cancel | undefined {
    const ends = new Int32Array(2);
    if (native.hostPair(socketType(type), ends) < 0) {
      answer(undefined);
      return undefined;
    }
    const [ours, theirs] = ends as unknown as [number, number];
    const visit = new Uint32Array([this.#guestCid, guestPort, hostPort, type, theirs]);
    const sent = native.hostSend(this.#door, new Uint8Array(visit.buffer), 0, visit.byteLength);
    if (sent !== visit.byteLength) {
      // More visitors than the other worker has looked at.
      native.fdClose(ours);
      native.fdClose(theirs);
      answer(undefined);
      return undefined;
    }
    return this.#awaitAnswer(ours, answer);
  }

  close(): void {}

  /** A byte, or the end. */
  #awaitAnswer(fd: number, answer: Answer): Cancel {
    let over = false;
    const end = (): void => {
      over = true;
      this.#connections.unwatch(token);
    };
    const refuse = (): void => {
      end();
      native.fdClose(fd);
    };
    const token = this.#connections.watch(fd, () => {
      const got = native.hostReceive(fd, new Uint8Array(1), 0, 1, false);
      if (got === 1) {
        end();
        answer({ fd, sibling: true });
      } else if (got !== EAGAIN) {
        refuse();
        answer(undefined);
      }
    });
    this.#connections.after(ANSWER_LIMIT_MS, () => {
      if (!over) {
        refuse();
        answer(undefined);
      }
    });
    return refuse;
  }
}

/** Connections of the others to this guest. */
export class SiblingEnd implements HostEnd {
  readonly #door: number;
  readonly #connections: HostConnections;

  constructor(door: number, connections: HostConnections) {
    this.#door = door;
    this.#connections = connections;
    connections.watch(door, () => this.#take());
  }

  close(): void {}

  #take(): void {
    const visit = new Uint32Array(VISIT_WORDS);
    const bytes = new Uint8Array(visit.buffer);
    while (native.hostReceive(this.#door, bytes, 0, bytes.byteLength, false) > 0) {
      const [cid, port, guestPort, type, fd] = visit as unknown as [
        number,
        number,
        number,
        number,
        number,
      ];
      const link = { fd, peer: { cid, port }, sibling: true };
      this.#connections.open(link, type, guestPort, () => {
        native.hostSend(fd, ACCEPTED, 0, ACCEPTED.byteLength);
      });
    }
  }
}
