// A back-end that answers what a test tells it to, at the other end of a VhostUserFrontend.

import { Connection, type RawMessage } from '../../src/core/connection/connection.js';
import { type ExchangeOptions, VhostUserFrontend } from '../../src/core/frontend/index.js';
import {
  encodeReply,
  type FrontendRequestName,
  frontendRequest,
  payloadCodec,
} from '../../src/core/protocol/index.js';
import { socketPair } from './resources.js';

export const ALL_PROTOCOL_FEATURES = (1n << 23n) - 1n;

export const u64 = (value: bigint): Uint8Array => payloadCodec('u64').encode(value);

interface TearDown {
  teardown(fn: () => void): unknown;
}

export interface Pair {
  readonly frontend: VhostUserFrontend;
  readonly peer: Connection;
}

/** Both ends, everything negotiated unless said otherwise. */
export function pair(
  t: TearDown,
  protocolFeatures = ALL_PROTOCOL_FEATURES,
  options: ExchangeOptions = {},
): Pair {
  const [ours, theirs] = socketPair();
  const frontend = new VhostUserFrontend(ours, options);
  frontend.protocolFeatures = protocolFeatures;
  const peer = new Connection(theirs);
  t.teardown(() => {
    frontend.close();
    peer.close();
  });
  return { frontend, peer };
}

/** The next message, its descriptors closed. */
export async function next(peer: Connection): Promise<RawMessage & { readonly fdCount: number }> {
  const message = await peer.receive();
  if (message === undefined) {
    throw new Error('the front-end has closed');
  }
  const fdCount = message.fds.count;
  message.fds.close();
  return { ...message, fdCount };
}

/** Takes the next request, which must be `name`, and answers it; what it said. */
export async function answer(
  peer: Connection,
  name: FrontendRequestName,
  payload: Uint8Array = u64(0n),
  fds: readonly number[] = [],
): Promise<{ readonly hex: string; readonly fdCount: number; readonly flags: number }> {
  const message = await next(peer);
  const { id } = frontendRequest(name);
  if (message.header.request !== id) {
    throw new Error(`request ${message.header.request}, expected ${name}`);
  }
  peer.send(encodeReply(id, payload), fds);
  return {
    hex: Buffer.from(message.payload).toString('hex'),
    fdCount: message.fdCount,
    flags: message.header.flags,
  };
}
