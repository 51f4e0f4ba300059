// Messages to bytes and back. A request is read in three steps, so that fds line up and nothing
// is allocated on a peer's word: exactly HEADER_BYTES with their fds, `checkRequestHeader`, then
// exactly `header.size` bytes, and `decodeFrontendMessage`.

import { VhostUserError } from './errors.js';
import {
  FDS_MAX,
  HEADER_BYTES,
  type MessageHeader,
  PAYLOAD_BYTES_MAX,
  REPLY_FLAGS,
  REQUEST_FLAGS,
  REQUEST_FLAGS_NEED_REPLY,
} from './header.js';
import { type PayloadByKind, type PayloadKind, payloadCodec } from './payloads.js';
import { type FdRange, fdBounds, type RequestRow } from './request-rules.js';
import {
  type BackendPayloadOf,
  type BackendRequestName,
  backendRequest,
  backendRequestById,
  type FrontendRequestName,
  frontendRequest,
  frontendRequestById,
  type PayloadOf,
} from './requests.js';
import { viewOf } from './struct.js';

export interface RawMessage {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** Any message, legal or not: test kits need the illegal ones. */
export function encodeMessage({ request, flags, payload }: RawMessage): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.byteLength);
  const view = viewOf(bytes);
  view.setUint32(0, request, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, payload.byteLength, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

export interface RequestOptions {
  readonly needReply: boolean;
}

export function encodeRequest(
  request: number,
  payload: Uint8Array,
  { needReply }: RequestOptions,
): Uint8Array {
  return encodeChecked(request, needReply ? REQUEST_FLAGS_NEED_REPLY : REQUEST_FLAGS, payload);
}

export function encodeReply(request: number, payload: Uint8Array): Uint8Array {
  return encodeChecked(request, REPLY_FLAGS, payload);
}

function encodeChecked(request: number, flags: number, payload: Uint8Array): Uint8Array {
  if (payload.byteLength > PAYLOAD_BYTES_MAX) {
    throw new RangeError(`a payload of ${payload.byteLength} bytes can not be sent`);
  }
  return encodeMessage({ request, flags, payload });
}

export function encodeFrontendRequest<N extends FrontendRequestName>(
  name: N,
  payload: PayloadOf<N>,
  options: RequestOptions,
): Uint8Array {
  const row: RequestRow = erased(frontendRequest(name));
  return encodeRequest(row.id, encodePayload(row.payload, payload), options);
}

export function encodeBackendRequest<N extends BackendRequestName>(
  name: N,
  payload: BackendPayloadOf<N>,
  options: RequestOptions,
): Uint8Array {
  const row: RequestRow = erased(backendRequest(name));
  return encodeRequest(row.id, encodePayload(row.payload, payload), options);
}

type AnyPayload = PayloadByKind[PayloadKind];

function encodePayload(kind: PayloadKind, payload: unknown): Uint8Array {
  // The exported signatures tie the payload to the kind of the row; inside, both are erased.
  return payloadCodec(kind).encode(payload as never);
}

function erased(row: unknown): RequestRow {
  return row as RequestRow;
}

/** Reply that carries what the row promises. */
export function encodeReplyTo<R extends PayloadKind>(
  row: { readonly id: number; readonly reply: { readonly payload: R } },
  payload: PayloadByKind[R],
): Uint8Array {
  return encodeReply(row.id, encodePayload(row.reply.payload, payload));
}

/**
 * Reply that says no, or undefined where the protocol has no way to say it and only closing the
 * connection remains. Whether a reply is due at all is `replyIsDue`'s to say.
 */
export function encodeRefusal(row: Pick<RequestRow, 'id' | 'reply'>): Uint8Array | undefined {
  const { refusal } = row.reply;
  if (refusal === 'close') {
    return undefined;
  }
  return encodeReply(
    row.id,
    refusal === 'empty' ? new Uint8Array(0) : payloadCodec('u64').encode(refusal),
  );
}

/** A front-end request after all checks that need no session state; narrow by `name`. */
export type FrontendMessage = {
  [N in FrontendRequestName]: { readonly name: N; readonly payload: PayloadOf<N> };
}[FrontendRequestName];

export type BackendMessage = {
  [N in BackendRequestName]: { readonly name: N; readonly payload: BackendPayloadOf<N> };
}[BackendRequestName];

export interface ReceivedRequest {
  readonly header: MessageHeader;
  /** Exactly `header.size` bytes. */
  readonly payload: Uint8Array;
  readonly fdCount: number;
  /** Protocol features negotiated so far; they decide how many fds SET_LOG_BASE has. */
  readonly protocolFeatures: bigint;
}

/** Throws `VhostUserError`; the caller closes the fds of a message it could not use. */
export function decodeFrontendMessage(received: ReceivedRequest): FrontendMessage {
  return decodeMessage(frontendRequestById(received.header.request), received) as FrontendMessage;
}

export function decodeBackendMessage(received: ReceivedRequest): BackendMessage {
  return decodeMessage(backendRequestById(received.header.request), received) as BackendMessage;
}

function decodeMessage(
  found: unknown,
  { header, payload: bytes, fdCount, protocolFeatures }: ReceivedRequest,
): { name: string; payload: AnyPayload } {
  if (bytes.byteLength !== header.size) {
    throw new RangeError(`${bytes.byteLength} payload bytes given, header says ${header.size}`);
  }
  if (found === undefined) {
    checkFdCount(`request ${header.request}`, { min: 0, max: FDS_MAX }, fdCount);
    throw new VhostUserError('UNKNOWN_REQUEST', `${header.request}`);
  }
  const row = erased(found);
  // Before the payload: a wrong number of fds closes, a wrong payload only refuses.
  checkFdCount(row.name, fdBounds(row), fdCount);
  const payload = payloadCodec(row.payload).decode(bytes);
  if ('of' in row.fds) {
    checkFdCount(row.name, row.fds.of(payload as never, protocolFeatures), fdCount);
  }
  return { name: row.name, payload };
}

function checkFdCount(what: string, { min, max }: FdRange, fdCount: number): void {
  if (fdCount < min || fdCount > max) {
    const expected = min === max ? `${min}` : `${min} to ${max}`;
    throw new VhostUserError('FD_COUNT', `${what} came with ${fdCount}, expected ${expected}`);
  }
}
