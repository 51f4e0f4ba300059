// What a handler of a front-end request is: it returns what the reply carries (0n for an
// acknowledgement) or throws VhostUserError; it takes the descriptors it keeps out of the bag, the
// session closes the rest. A reply that carries a descriptor is a `ReplyWithFd`.

import type { FdBag } from '../../connection/fd-bag.js';
import type { FrontendRequestName, PayloadOf, ReplyOf } from '../../protocol/index.js';
import type { ReplyInstead, ReplyWithFd } from '../reply-with-fd.js';
import type { Session } from '../session.js';

export type Handler<N extends FrontendRequestName> = (
  session: Session,
  payload: PayloadOf<N>,
  fds: FdBag,
) => Promise<ReplyOf<N> | ReplyWithFd<ReplyOf<N>> | ReplyInstead>;

export type Handlers = { readonly [N in FrontendRequestName]: Handler<N> };
