// Types and lookups over the two request tables.

import { BACKEND_REQUESTS } from './backend-requests.js';
import { FRONTEND_REQUESTS } from './frontend-requests.js';
import type { PayloadByKind } from './payloads.js';
import type { RequestRow } from './request-rules.js';

export type FrontendRequest = (typeof FRONTEND_REQUESTS)[number];
export type BackendRequest = (typeof BACKEND_REQUESTS)[number];
export type FrontendRequestName = FrontendRequest['name'];
export type BackendRequestName = BackendRequest['name'];

export type FrontendRow<N extends FrontendRequestName> = Extract<
  FrontendRequest,
  { readonly name: N }
>;
export type BackendRow<N extends BackendRequestName> = Extract<
  BackendRequest,
  { readonly name: N }
>;

/** What a front-end request carries: `PayloadOf<'SET_VRING_NUM'>` is a `VringState`. */
export type PayloadOf<N extends FrontendRequestName> = PayloadByKind[FrontendRow<N>['payload']];
/** What the reply to a front-end request carries when it is not a refusal. */
export type ReplyOf<N extends FrontendRequestName> =
  PayloadByKind[FrontendRow<N>['reply']['payload']];

export type BackendPayloadOf<N extends BackendRequestName> =
  PayloadByKind[BackendRow<N>['payload']];
export type BackendReplyOf<N extends BackendRequestName> =
  PayloadByKind[BackendRow<N>['reply']['payload']];

const frontendById = new Map<number, FrontendRequest>(FRONTEND_REQUESTS.map((r) => [r.id, r]));
const backendById = new Map<number, BackendRequest>(BACKEND_REQUESTS.map((r) => [r.id, r]));
const frontendByName = new Map<string, RequestRow>(byName(FRONTEND_REQUESTS));
const backendByName = new Map<string, RequestRow>(byName(BACKEND_REQUESTS));

export function frontendRequestById(id: number): FrontendRequest | undefined {
  return frontendById.get(id);
}

export function backendRequestById(id: number): BackendRequest | undefined {
  return backendById.get(id);
}

export function frontendRequest<N extends FrontendRequestName>(name: N): FrontendRow<N> {
  return frontendByName.get(name) as unknown as FrontendRow<N>;
}

export function backendRequest<N extends BackendRequestName>(name: N): BackendRow<N> {
  return backendByName.get(name) as unknown as BackendRow<N>;
}

function byName(rows: readonly (FrontendRequest | BackendRequest)[]): [string, RequestRow][] {
  return rows.map((row) => [row.name, row as unknown as RequestRow]);
}
