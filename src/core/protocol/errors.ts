// Every way the control plane can refuse. A row says what happened and whether the session survives
// it; nothing else in the daemon decides that.
//
// A session closes when the byte stream or its fds can no longer be trusted to line up, or when
// the peer is gone or too slow. Everything else is a refusal: state unchanged, a non-zero reply
// if one can be sent. When none can be sent the session layer closes anyway, so that the
// front-end notices.

interface ErrorRow {
  readonly sentence: string;
  readonly closesSession: boolean;
}

const closes = (sentence: string): ErrorRow => ({ sentence, closesSession: true });
const refuses = (sentence: string): ErrorRow => ({ sentence, closesSession: false });

export const VHOST_USER_ERRORS = {
  // Framing: the stream may be out of step, so nothing after it can be believed.
  VERSION: closes('the message header carries another protocol version than 1'),
  HEADER_FLAGS: closes('the message header has flags that do not belong there'),
  OVERSIZE: closes('the message announces a payload larger than any request has'),
  TRUNCATED: closes('the peer closed the connection in the middle of a message'),
  FD_COUNT: closes('the message carries the wrong number of file descriptors'),
  FD_PLACE: closes('file descriptors came with payload bytes instead of the header'),
  FD_TRUNCATED: closes('the kernel dropped file descriptors of a message'),
  UNEXPECTED_REPLY: closes('the reply does not belong to the request that was sent'),

  // The message as such.
  UNKNOWN_REQUEST: refuses('the request id is not known'),
  PAYLOAD_SIZE: refuses('the payload has the wrong length for its request'),
  PAYLOAD_VALUE: refuses('a payload field holds a value the protocol does not define'),
  FD_KIND: refuses('a file descriptor is of the wrong kind for its request'),
  FD_LIMIT: refuses('no more file descriptors can be opened'),

  // Negotiation.
  FEATURE_NOT_OFFERED: refuses('the front-end acknowledged a feature that was not offered'),
  FEATURE_REQUIRED: refuses('the front-end did not acknowledge a feature this device needs'),
  FEATURE_DEPENDENCY: refuses('a feature was acknowledged without another one it builds on'),
  INBAND_INCOMPLETE: closes(
    'in-band notifications were negotiated without back-end channel and REPLY_ACK',
  ),
  NOT_NEGOTIATED: refuses('the request belongs to a feature that was not negotiated'),
  SESSION_STATE: refuses('the request is not allowed in the present state of the session'),

  // Vrings.
  VRING_INDEX: refuses('the vring index is out of range'),
  VRING_SIZE: refuses('the vring size is not allowed'),
  VRING_ADDRESS: refuses('a vring address is misaligned or outside guest memory'),
  VRING_BASE: refuses('the vring base is out of range'),
  VRING_STATE: refuses('the request is not allowed in the present state of the vring'),
  DRAIN_TIMEOUT: closes('requests in flight did not finish in time while a vring was stopped'),

  // Shared memory.
  MEMORY_REGION: refuses('a memory region is invalid'),
  MEMORY_SLOTS: refuses('no memory slot is free'),
  MEMORY_MAP: refuses('a shared area can not be mapped'),
  MEMORY_LOST: closes('the front-end took away memory that is in use'),
  TRANSLATION: refuses('a translation of I/O addresses is empty, wraps or leads outside memory'),
  POSTCOPY: closes('memory can not be made ready for postcopy'),
  LOG_AREA: refuses('the dirty log area is invalid'),
  INFLIGHT_AREA: refuses('the inflight area is invalid'),

  // Config space and device.
  CONFIG_RANGE: refuses('the range lies outside the config space'),
  CONFIG_READ_ONLY: refuses('the config space field is read-only'),
  UNSUPPORTED: refuses('this device does not support the request'),
  DEVICE: refuses('the device refused the request'),

  // The back-end channel. The session lives on without it.
  CHANNEL_MISSING: refuses('the front-end gave no back-end channel'),
  CHANNEL_LOST: refuses('the back-end channel is closed'),
  CHANNEL_FULL: refuses('too many requests on the back-end channel wait for an answer'),
  CHANNEL_TIMEOUT: refuses('the front-end did not answer on the back-end channel'),

  // The peer.
  PEER_CLOSED: closes('the peer closed the connection'),
  PEER_NOT_ALLOWED: closes('the peer runs under a user id that is not allowed'),
  PEER_REFUSED: refuses('the peer refused the request'),
  HANDSHAKE_TIMEOUT: closes('the peer took too long to finish a message or the handshake'),
  OUT_QUEUE_FULL: closes('the peer does not read its replies'),
} as const satisfies Record<string, ErrorRow>;

export type VhostUserErrorCode = keyof typeof VHOST_USER_ERRORS;

/** A fault of the peer (or of its files), never one of ours: those are plain errors. */
export class VhostUserError extends Error {
  override readonly name = 'VhostUserError';
  readonly code: VhostUserErrorCode;
  readonly closesSession: boolean;

  constructor(code: VhostUserErrorCode, detail?: string, options?: ErrorOptions) {
    const { sentence, closesSession } = VHOST_USER_ERRORS[code];
    super(detail === undefined ? sentence : `${sentence}: ${detail}`, options);
    this.code = code;
    this.closesSession = closesSession;
  }

  /** A device's module may have another copy of this class than the daemon that runs it: the
   *  command is a bundle, the module imports the library. Both mean the same. */
  static override [Symbol.hasInstance](value: unknown): value is VhostUserError {
    return (
      value instanceof Error &&
      value.name === 'VhostUserError' &&
      'code' in value &&
      Object.hasOwn(VHOST_USER_ERRORS, String(value.code))
    );
  }
}
