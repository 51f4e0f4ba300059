// What this side says unasked, on the back-end channel: requests of the device, a change of config
// space, missing translations, and calls and errors of vrings without descriptors for them.

import type { Log } from '../log.js';
import {
  type BackendPayloadOf,
  type BackendRequestName,
  backendRequest,
  hasFeature,
  type IotlbMessage,
  type RequestRow,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VhostUserError,
} from '../protocol/index.js';
import { BackendChannel } from './backend-channel.js';
import type { BackendAsker } from './backend-requests.js';
import { checkGates, type Negotiated } from './gates.js';
import { InbandCalls } from './inband-calls.js';
import type { Vring } from './vring.js';

/** The session, as far as it decides what may be said. */
export interface NotifierContext extends Negotiated {
  readonly vrings: readonly Vring[];
  readonly log: Log;
  /** Logs what the front-end is to blame for, at a limited rate. */
  peerFault(fields: object, message: string): void;
}

export class FrontendNotifier implements BackendAsker {
  /** Some SET_VRING_CALL came with a descriptor. */
  signalledByFd = false;
  readonly #context: NotifierContext;
  readonly #replyTimeoutMs: number | undefined;
  readonly #calls: InbandCalls;
  #channel: BackendChannel | undefined;
  /** Config space changed while nothing might be sent. */
  #configChangeDue = false;

  constructor(context: NotifierContext, replyTimeoutMs?: number) {
    this.#context = context;
    this.#replyTimeoutMs = replyTimeoutMs;
    this.#calls = new InbandCalls(
      (queue) => this.requestFrontend('VRING_CALL', { index: queue, num: 0 }),
      (queue, error) => this.#undelivered({ queue }, 'call', error),
    );
  }

  /** vhost-user: INBAND_NOTIFICATIONS is negotiated. */
  get inband(): boolean {
    return hasFeature(this.#context.protocolFeatures, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);
  }

  /** Takes the socket of the back-end channel; the former one ends, and whoever waits on it. */
  open(fd: number): void {
    this.#channel?.close();
    this.#channel = new BackendChannel(fd, {
      log: this.#context.log,
      ...(this.#replyTimeoutMs === undefined ? {} : { replyTimeoutMs: this.#replyTimeoutMs }),
    });
    // A call that went the old way may never have been seen.
    for (const vring of this.#context.vrings) {
      this.#callByMessage(vring);
    }
  }

  close(): void {
    this.#channel?.close();
  }

  /** A request on the back-end channel; the reply's descriptor, the caller's, if there is one. */
  async requestFrontend<N extends BackendRequestName>(
    name: N,
    payload: BackendPayloadOf<N>,
    fds: readonly number[] = [],
  ): Promise<number | undefined> {
    const row = backendRequest(name) as unknown as RequestRow;
    checkGates(row, this.#context);
    if (this.#channel === undefined) {
      throw new VhostUserError('CHANNEL_MISSING', row.name);
    }
    // vhost-user "Suspended device state": no message to the front-end.
    if (this.#suspended) {
      throw new VhostUserError('SESSION_STATE', `${row.name} while all vrings are stopped`);
    }
    const { protocolFeatures } = this.#context;
    return await this.#channel.request(name, payload, { protocolFeatures, fds });
  }

  /** Tells the front-end as soon as it may be told; one without channel or CONFIG never is. */
  async configChanged(): Promise<void> {
    this.#configChangeDue = this.#suspended;
    const { needs } = backendRequest('CONFIG_CHANGE_MSG');
    const listens =
      this.#channel !== undefined && hasFeature(this.#context.protocolFeatures, needs);
    if (!this.#configChangeDue && listens) {
      await this.requestFrontend('CONFIG_CHANGE_MSG', undefined);
    }
  }

  /** What waited for a vring that runs goes out. */
  vringStarted(vring: Vring): void {
    // As SET_VRING_CALL signals on receipt: an interrupt may have been lost with a former back-end.
    this.#callByMessage(vring);
    if (this.#configChangeDue) {
      this.configChanged().catch((error: unknown) => this.#undelivered({}, 'config change', error));
    }
  }

  /** After this nothing may be sent. */
  vringStops(vring: Vring): void {
    this.#calls.flush(vring.index);
  }

  vringBroken(vring: Vring): void {
    if (this.inband && (vring.errByMessage || !this.signalledByFd)) {
      const queue = vring.index;
      this.requestFrontend('VRING_ERR', { index: queue, num: 0 }).catch((error: unknown) =>
        this.#undelivered({ queue }, 'error', error),
      );
    }
  }

  /** A worker has work for the driver of a vring without call descriptor. */
  call(vring: Vring): void {
    if (this.#callsByMessage(vring)) {
      this.#calls.call(vring.index);
    }
  }

  /** Without a channel the ring waits until there is one. */
  translation(message: IotlbMessage): void {
    const { protocolFeatures } = this.#context;
    const options = { protocolFeatures, acknowledged: false };
    this.#channel
      ?.request('IOTLB_MSG', message, options)
      .catch((error: unknown) => this.#undelivered({}, 'miss', error));
  }

  /** A front-end that ends closes the channel under the last calls, and nobody is to blame. */
  #undelivered(fields: Readonly<Record<string, unknown>>, what: string, error: unknown): void {
    const message = `${what} not delivered: ${error}`;
    if (error instanceof VhostUserError && error.code === 'CHANNEL_LOST') {
      this.#context.log.debug(fields, message);
    } else {
      this.#context.peerFault(fields, message);
    }
  }

  get #suspended(): boolean {
    return !this.#context.vrings.some((vring) => vring.started);
  }

  /** Only for a front-end that says so, or has given no call descriptor to any vring (User-mode
   *  Linux): QEMU acknowledges INBAND_NOTIFICATIONS without knowing the messages. */
  #callsByMessage(vring: Vring): boolean {
    return this.inband && (vring.callByMessage || !this.signalledByFd);
  }

  #callByMessage(vring: Vring): void {
    if (vring.started && this.#callsByMessage(vring)) {
      this.#calls.call(vring.index);
    }
  }
}
