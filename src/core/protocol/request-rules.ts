// What a row of a request table can say: fds, reply, gate. The tables themselves are in
// `frontend-requests.ts` and `backend-requests.ts`.

import { hasFeature, VHOST_USER_PROTOCOL_F_REPLY_ACK } from './features.js';
import type { PayloadByKind, PayloadKind } from './payloads.js';

export interface FdRange {
  readonly min: number;
  readonly max: number;
}

export const NO_FDS: FdRange = { min: 0, max: 0 };
export const ONE_FD: FdRange = { min: 1, max: 1 };
export const OPTIONAL_FD: FdRange = { min: 0, max: 1 };

/** Fds that must come with a request; some payloads and features decide how many. */
export type FdRule<K extends PayloadKind> =
  | FdRange
  | {
      /** Bounds over all payloads, known before the payload is decoded. */
      readonly bounds: FdRange;
      of(payload: PayloadByKind[K], protocolFeatures: bigint): FdRange;
    };

/**
 * How a reply says no: a non-zero u64, an empty payload, or not at all, so that only closing the
 * connection tells the peer.
 */
export type Refusal = bigint | 'empty' | 'close';

export interface ReplyRule<K extends PayloadKind = PayloadKind> {
  /**
   * `always`: the request is answered whatever was negotiated. `ack`: a u64, zero for success, with
   * REPLY_ACK and NEED_REPLY only. A mask: as `always` when those protocol features are negotiated,
   * otherwise as `ack`.
   */
  readonly when: 'always' | 'ack' | bigint;
  readonly payload: K;
  readonly fds: FdRange;
  readonly refusal: Refusal;
}

/** A virtio feature bit the request depends on, and what must have become of it. */
export interface FeatureGate {
  readonly mask: bigint;
  readonly state: 'offered' | 'acked';
}

export interface RequestRow<
  N extends string = string,
  K extends PayloadKind = PayloadKind,
  R extends PayloadKind = PayloadKind,
> {
  readonly id: number;
  readonly name: N;
  readonly payload: K;
  readonly fds: FdRule<K>;
  readonly reply: ReplyRule<R>;
  /** Protocol features that must all be negotiated; 0n for none. */
  readonly needs: bigint;
  readonly feature: FeatureGate | undefined;
  /** The rule of the vhost-user document a handler of this request has to keep. */
  readonly clause: string;
}

interface RowOptions<K extends PayloadKind, R extends PayloadKind> {
  readonly fds?: FdRule<K>;
  readonly reply: ReplyRule<R>;
  readonly needs?: bigint;
  readonly feature?: FeatureGate;
  readonly clause: string;
}

export function request<const N extends string, K extends PayloadKind, R extends PayloadKind>(
  id: number,
  name: N,
  payload: K,
  { fds = NO_FDS, reply, needs = 0n, feature, clause }: RowOptions<K, R>,
): RequestRow<N, K, R> {
  return { id, name, payload, fds, reply, needs, feature, clause };
}

/** Zero acknowledges, any other u64 refuses. */
export const SUCCESS = 0n;
export const NACK = 1n;

export const ACK: ReplyRule<'u64'> = { when: 'ack', payload: 'u64', fds: NO_FDS, refusal: NACK };

export function always<K extends PayloadKind>(
  payload: K,
  refusal: Refusal,
  fds: FdRange = NO_FDS,
): ReplyRule<K> {
  return { when: 'always', payload, fds, refusal };
}

/** True when exactly one reply must follow the request. NEED_REPLY alone means nothing (CS-059). */
export function replyIsDue(
  row: Pick<RequestRow, 'reply'>,
  needReply: boolean,
  protocolFeatures: bigint,
): boolean {
  const { when } = row.reply;
  if (when === 'always' || (typeof when === 'bigint' && hasFeature(protocolFeatures, when))) {
    return true;
  }
  return needReply && hasFeature(protocolFeatures, VHOST_USER_PROTOCOL_F_REPLY_ACK);
}

/** Fewest and most fds over all legal payloads. */
export function fdBounds(row: { readonly fds: FdRange | { readonly bounds: FdRange } }): FdRange {
  return 'bounds' in row.fds ? row.fds.bounds : row.fds;
}
