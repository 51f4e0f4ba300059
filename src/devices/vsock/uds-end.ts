// The hybrid convention of UNIX sockets: a host program connects to P and says which port of the
// guest's it wants; the guest reaches what listens at P_<port>. P_seqpacket takes message sockets.

import { constants } from 'node:os';
import { native } from '../../native/index.js';
import { acceptAll } from './acceptor.js';
import { TYPE_SEQPACKET, TYPE_STREAM } from './format.js';
import { GREETING_BYTES_MAX, greetingAnswer, parseGreeting } from './greeting.js';
import type { Answer, GuestRequest, HostConnections, HostEnd, HostTarget } from './host-end.js';
import { UnixTarget } from './unix-target.js';

/** Programs that have connected and not said their line; one more is sent away (VS-033). */
const GREETINGS_MAX = 1024;
/** To say it. */
const GREETING_LIMIT_MS = 2000;
const { EAGAIN } = constants.errno;

export interface UdsEndOptions {
  readonly path: string;
  /** Listening, the control half's. */
  readonly streamFd: number;
  readonly seqpacketFd: number;
}

export class UdsEnd implements HostEnd, HostTarget {
  readonly #path: string;
  readonly #connections: HostConnections;
  readonly #line = new Uint8Array(GREETING_BYTES_MAX);
  /** Descriptors of those that have not said their line, with their tokens. */
  readonly #greetings = new Map<number, number>();

  constructor({ path, streamFd, seqpacketFd }: UdsEndOptions, connections: HostConnections) {
    this.#path = path;
    this.#connections = connections;
    acceptAll(streamFd, connections, (fd) => this.#greet(fd, TYPE_STREAM));
    acceptAll(seqpacketFd, connections, (fd) => this.#greet(fd, TYPE_SEQPACKET));
  }

  connect(request: GuestRequest, answer: Answer): undefined {
    new UnixTarget(`${this.#path}_${request.hostPort}`).connect(request, answer);
  }

  close(): void {
    for (const [fd, token] of this.#greetings) {
      this.#connections.unwatch(token);
      native.fdClose(fd);
    }
    this.#greetings.clear();
  }

  #greet(fd: number, type: number): void {
    if (this.#greetings.size >= GREETINGS_MAX) {
      native.fdClose(fd);
      return;
    }
    const token = this.#connections.watch(fd, (hungUp) => this.#read(fd, type, token, hungUp));
    this.#greetings.set(fd, token);
    this.#connections.after(GREETING_LIMIT_MS, () => {
      // The number may be another program's by now, but not with the same token.
      if (this.#greetings.get(fd) === token) {
        this.#dismiss(fd, token);
      }
    });
  }

  #read(fd: number, type: number, token: number, hungUp: boolean): void {
    const line = this.#line;
    const got = native.hostReceive(fd, line, 0, line.byteLength, true);
    if (got === -EAGAIN) {
      return;
    }
    const greeting = parseGreeting(line.subarray(0, Math.max(0, Math.min(got, line.byteLength))));
    if (got <= 0 || greeting.kind === 'bad') {
      this.#dismiss(fd, token);
      return;
    }
    if (greeting.kind === 'more') {
      // A message is all there is; of a stream more may come, unless its program has left.
      if (type === TYPE_SEQPACKET || hungUp) {
        this.#dismiss(fd, token);
      }
      return;
    }
    native.hostReceive(fd, line, 0, greeting.lengthBytes, false);
    this.#connections.unwatch(token);
    this.#greetings.delete(fd);
    this.#connections.open({ fd }, type, greeting.port, (hostPort) => {
      const answer = greetingAnswer(hostPort);
      native.hostSend(fd, answer, 0, answer.byteLength);
    });
  }

  #dismiss(fd: number, token: number): void {
    this.#connections.unwatch(token);
    this.#greetings.delete(fd);
    native.fdClose(fd);
  }
}
