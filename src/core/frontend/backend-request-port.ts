// The front-end's end of the channel that SET_BACKEND_REQ_FD opens: requests of the back-end, each
// to its handler. It runs beside the main channel: a handler may use the front-end, but a back-end
// that waits here and there for each other's reply has dead-locked itself.

import { check, native } from '../../native/index.js';
import { Connection, type RawMessage } from '../connection/connection.js';
import {
  ACK,
  type BackendMessage,
  type BackendPayloadOf,
  type BackendRequestName,
  backendRequest,
  backendRequestById,
  decodeBackendMessage,
  encodeReply,
  hasFeature,
  type IotlbMessage,
  NACK,
  payloadCodec,
  type RequestRow,
  replyIsDue,
  type ShmemMap,
  SUCCESS,
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD,
  VhostUserError,
  type VringArea,
} from '../protocol/index.js';

type Answer = void | Promise<void>;

/**
 * What a front-end does with each request. A handler that throws, or is not there, refuses. A
 * descriptor is lent for the time of the call, until a returned promise settles: duplicate it to
 * keep it.
 */
export interface BackendRequestHandlers {
  /** IOTLB_MSG: a translation is missing (type 1) or lacks a permission (type 4). Answer a miss
   *  with sendIotlb() before this returns. */
  iotlb?(message: IotlbMessage): Answer;
  /** CONFIG_CHANGE_MSG: getConfig() returns the new bytes already. */
  configChanged?(): Answer;
  /** VRING_HOST_NOTIFIER_MSG: a page as doorbell of the vring; without descriptor it is taken
   *  back. */
  vringHostNotifier?(area: VringArea, fd: number | undefined): Answer;
  /** VRING_CALL: a call in band. */
  vringCall?(index: number): Answer;
  /** VRING_ERR: the vring is broken, in band. */
  vringErr?(index: number): Answer;
  /** SHARED_OBJECT_ADD: this back-end exports the object. */
  sharedObjectAdd?(uuid: string): Answer;
  /** SHARED_OBJECT_REMOVE: to be refused when another back-end has added the object. */
  sharedObjectRemove?(uuid: string): Answer;
  /** SHARED_OBJECT_LOOKUP: the object's descriptor, which stays the handler's; undefined when
   *  nobody exports it. */
  sharedObjectLookup?(uuid: string): number | undefined | Promise<number | undefined>;
  /** SHMEM_MAP: to be refused when it overlaps a mapping. */
  shmemMap?(mapping: ShmemMap, fd: number): Answer;
  /** SHMEM_UNMAP: one whole earlier mapping. */
  shmemUnmap?(mapping: ShmemMap): Answer;
  /** A request was refused, by a handler or before it got there. For logs. */
  refused?(request: BackendRequestName | undefined, error: unknown): void;
  /** The channel is over; with an error unless a side closed it in order. */
  closed?(error: VhostUserError | undefined): void;
}

export class BackendRequestPort {
  readonly #connection: Connection;
  readonly #handlers: BackendRequestHandlers;
  readonly #protocolFeatures: () => bigint;
  #closed = false;

  /** Takes ownership of a connected, non-blocking socket and serves it at once. */
  constructor(fd: number, handlers: BackendRequestHandlers, protocolFeatures: () => bigint) {
    this.#connection = new Connection(fd);
    this.#handlers = handlers;
    this.#protocolFeatures = protocolFeatures;
    void this.#serve();
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.#connection.close();
  }

  async #serve(): Promise<void> {
    let failure: VhostUserError | undefined;
    try {
      for (
        let message = await this.#connection.receive();
        message !== undefined;
        message = await this.#connection.receive()
      ) {
        await this.#answer(message);
      }
    } catch (error) {
      if (!this.#closed) {
        failure = error as VhostUserError;
      }
    }
    this.close();
    this.#handlers.closed?.(failure);
  }

  /** Handles one request and replies if one is due. Throws what ends the channel. */
  async #answer({ header, payload, fds }: RawMessage): Promise<void> {
    const features = this.#protocolFeatures();
    const row = backendRequestById(header.request) as unknown as RequestRow | undefined;
    const due = replyIsDue(row ?? UNKNOWN, header.needReply, features);
    try {
      if (header.isReply) {
        throw new VhostUserError('HEADER_FLAGS', 'a reply where a request was due');
      }
      const message = decodeBackendMessage({
        header,
        payload,
        fdCount: fds.count,
        protocolFeatures: features,
      });
      requireNegotiated(message.name, features, fds.count);
      const objectFd = await this.#handle(message, fds.borrow()[0]);
      if (due) {
        const ack = encodeReply(header.request, payloadCodec('u64').encode(SUCCESS));
        this.#connection.send(ack, objectFd === undefined ? [] : [objectFd]);
      }
    } catch (error) {
      if (error instanceof VhostUserError && error.closesSession) {
        throw error;
      }
      this.#handlers.refused?.(row?.name as BackendRequestName | undefined, error);
      if (due) {
        this.#connection.send(encodeReply(header.request, payloadCodec('u64').encode(NACK)));
      }
    } finally {
      fds.close();
    }
  }

  /** Calls the handler; the descriptor to send back, for the one request that has one. */
  async #handle(message: BackendMessage, fd: number | undefined): Promise<number | undefined> {
    const { name, payload } = message;
    try {
      // The table ties name and payload together; inside the call both are erased.
      const answer = await CALLS[name](this.#handlers, payload as never, fd);
      if (name !== 'SHARED_OBJECT_LOOKUP') {
        return undefined;
      }
      if (answer === undefined) {
        throw new VhostUserError('DEVICE', 'nobody exports the object');
      }
      return answer as number;
    } catch (error) {
      // Whatever goes wrong in a handler, the channel lives on.
      throw error instanceof VhostUserError && !error.closesSession
        ? error
        : new VhostUserError('DEVICE', name, { cause: error });
    }
  }
}

/** A request no table has is acknowledged, that is refused, as any other. */
const UNKNOWN: Pick<RequestRow, 'reply'> = { reply: ACK };

type Calls = {
  readonly [N in BackendRequestName]: (
    handlers: BackendRequestHandlers,
    payload: BackendPayloadOf<N>,
    fd: number | undefined,
  ) => unknown;
};

const CALLS: Calls = {
  IOTLB_MSG: (handlers, message) => handlerOf(handlers, 'iotlb')(message),
  CONFIG_CHANGE_MSG: (handlers) => handlerOf(handlers, 'configChanged')(),
  VRING_HOST_NOTIFIER_MSG: (handlers, area, fd) =>
    handlerOf(handlers, 'vringHostNotifier')(area, fd),
  VRING_CALL: (handlers, { index }) => handlerOf(handlers, 'vringCall')(index),
  VRING_ERR: (handlers, { index }) => handlerOf(handlers, 'vringErr')(index),
  SHARED_OBJECT_ADD: (handlers, { uuid }) => handlerOf(handlers, 'sharedObjectAdd')(uuid),
  SHARED_OBJECT_REMOVE: (handlers, { uuid }) => handlerOf(handlers, 'sharedObjectRemove')(uuid),
  SHARED_OBJECT_LOOKUP: (handlers, { uuid }) => handlerOf(handlers, 'sharedObjectLookup')(uuid),
  SHMEM_MAP: (handlers, mapping, fd) => handlerOf(handlers, 'shmemMap')(mapping, fd as number),
  SHMEM_UNMAP: (handlers, mapping) => handlerOf(handlers, 'shmemUnmap')(mapping),
};

function handlerOf<K extends keyof BackendRequestHandlers>(
  handlers: BackendRequestHandlers,
  name: K,
): NonNullable<BackendRequestHandlers[K]> {
  const found = handlers[name];
  if (found === undefined) {
    throw new VhostUserError('UNSUPPORTED', name);
  }
  return found.bind(handlers) as NonNullable<BackendRequestHandlers[K]>;
}

/** Host notifiers may come without a descriptor, and then need no BACKEND_SEND_FD. */
function requireNegotiated(name: BackendRequestName, features: bigint, fdCount: number): void {
  const waived = fdCount === 0 ? VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD : 0n;
  if (!hasFeature(features, backendRequest(name).needs & ~waived)) {
    throw new VhostUserError('NOT_NEGOTIATED', name);
  }
}

/** A socket pair for SET_BACKEND_REQ_FD: `theirs` travels, and is closed here afterwards. */
export function backendRequestSockets(): {
  readonly ours: number;
  readonly theirs: number;
  closeTheirs(): void;
} {
  const ends = new Int32Array(2);
  check('socketpair', native.socketPair(ends));
  const [ours, theirs] = ends as unknown as [number, number];
  return { ours, theirs, closeTheirs: () => native.fdClose(theirs) };
}
