// One front-end's connection from accept to the end: reads a message, checks it against the table,
// lets its handler act, answers. One message at a time; the state is the fields of this class.

import { NO_INFLIGHT } from '../../native/index.js';
import type { Connection, RawMessage } from '../connection/connection.js';
import type { VirtioDevice } from '../device.js';
import { type Log, rateLimited } from '../log.js';
import { GuestMemory } from '../memory/guest-memory.js';
import type { InflightArea } from '../memory/inflight-area.js';
import {
  decodeFrontendMessage,
  encodeRefusal,
  encodeReply,
  encodeReplyTo,
  type FrontendMessage,
  frontendRequestById,
  hasFeature,
  type MessageHeader,
  NACK,
  payloadCodec,
  type RequestRow,
  replyIsDue,
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VhostUserError,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_PACKED,
} from '../protocol/index.js';
import type { IoRange } from '../worker/commands.js';
import type { QueueWorkers } from '../worker/pool-share.js';
import { codeOfFault, RING_FAULT_MEMORY_LOST, RING_FAULTS } from '../worker/ring-faults.js';
import { DirtyLog } from './dirty-log.js';
import { Drains } from './drains.js';
import { FrontendNotifier, type NotifierContext } from './frontend-notifier.js';
import { checkGates } from './gates.js';
import { HANDLERS } from './handlers/index.js';
import { Postcopy } from './postcopy.js';
import { ReplyInstead, ReplyWithFd } from './reply-with-fd.js';
import type { StateTransfer } from './state-transfer.js';
import { addressingOf, Translations } from './translations.js';
import { firstBase, Vring } from './vring.js';

/** What ends the handshake. Afterwards a front-end may be silent for hours: QEMU sends SET_OWNER
 *  when it starts, and SET_FEATURES when the guest has found a driver. */
const HANDSHAKE_ENDS = new Set(['SET_OWNER', 'SET_FEATURES']);

export interface SessionOptions {
  readonly connection: Connection;
  readonly device: VirtioDevice;
  readonly pool: QueueWorkers;
  readonly log: Log;
  readonly drainTimeoutMs?: number;
  /** How long a front-end may take to begin in earnest; no limit when left out. */
  readonly handshakeTimeoutMs?: number;
  /** How long the front-end may take to answer on the back-end channel. */
  readonly channelReplyTimeoutMs?: number;
}

export class Session implements NotifierContext {
  readonly connection: Connection;
  readonly device: VirtioDevice;
  readonly pool: QueueWorkers;
  readonly log: Log;
  readonly vrings: readonly Vring[];
  ackedFeatures = 0n;
  /** True once SET_FEATURES succeeded: FEATURES_OK may read back as set. */
  featuresSet = false;
  protocolFeatures = 0n;
  /** SET_OWNER has come before. */
  owned = false;
  status = 0;
  memory = GuestMemory.empty();
  readonly dirtyLog: DirtyLog;
  #inflight: InflightArea | undefined;
  /** The transfer of device state in progress, or the last one. */
  stateTransfer: StateTransfer | undefined;
  /** What this side says unasked. */
  readonly notifier: FrontendNotifier;
  readonly translations: Translations;
  readonly postcopy = new Postcopy();
  readonly #handshakeTimeoutMs: number | undefined;
  #handshakeTimer: NodeJS.Timeout | undefined;
  readonly peerFault: Log['warn'];
  readonly #drains: Drains;

  constructor(options: SessionOptions) {
    const { connection, device, pool, log } = options;
    this.connection = connection;
    this.device = device;
    this.pool = pool;
    this.log = log;
    this.dirtyLog = new DirtyLog(pool);
    this.peerFault = rateLimited((fields, message) => log.warn(fields, message));
    this.vrings = Array.from({ length: device.numQueues() }, (_, index) => new Vring(index));
    this.notifier = new FrontendNotifier(this, options.channelReplyTimeoutMs);
    this.translations = new Translations(log, (message) => this.notifier.translation(message));
    this.#drains = new Drains(options.drainTimeoutMs);
    this.#handshakeTimeoutMs = options.handshakeTimeoutMs;
  }

  get offeredFeatures(): bigint {
    return this.device.features() | VHOST_USER_F_PROTOCOL_FEATURES | VHOST_F_LOG_ALL;
  }

  /** True when the rings are packed: sizes, addresses and bases follow other rules. */
  get packed(): boolean {
    return hasFeature(this.ackedFeatures, VIRTIO_F_RING_PACKED);
  }

  /** True when rings and buffers are given by I/O addresses. */
  get translates(): boolean {
    return hasFeature(this.ackedFeatures, VIRTIO_F_ACCESS_PLATFORM);
  }

  /** Serves until the connection ends; never rejects. Afterwards nothing of the session is left. */
  async run(): Promise<void> {
    if (this.#handshakeTimeoutMs !== undefined) {
      const fail = () => this.connection.fail(new VhostUserError('HANDSHAKE_TIMEOUT'));
      this.#handshakeTimer = setTimeout(fail, this.#handshakeTimeoutMs);
    }
    try {
      for (;;) {
        const message = await this.connection.receive();
        if (message === undefined) {
          this.log.debug({}, 'front-end disconnected');
          break;
        }
        await this.#serve(message);
      }
    } catch (error) {
      this.#logEnd(error);
    }
    await this.#end();
  }

  /** A worker gave a ring up. The others go on; lost memory ends the session (CS-077). */
  queueBroken(queue: number, fault: number): void {
    const code = codeOfFault(fault);
    this.peerFault({ queue, code, fault: RING_FAULTS[fault] ?? fault }, 'virtqueue stopped');
    const vring = this.vrings[queue];
    if (vring !== undefined) {
      this.notifier.vringBroken(vring);
    }
    if (fault === RING_FAULT_MEMORY_LOST) {
      this.connection.fail(new VhostUserError('MEMORY_LOST'));
    }
  }

  /** A worker has work for the driver of a vring without call descriptor. */
  inbandCall(queue: number): void {
    const vring = this.vrings[queue];
    if (vring !== undefined) {
      this.notifier.call(vring);
    }
  }

  get #suspended(): boolean {
    return !this.vrings.some((vring) => vring.started);
  }

  /** Takes the socket of the back-end channel. */
  setBackendChannel(fd: number): void {
    this.notifier.open(fd);
    this.translations.channelOpened();
    this.device.backendChannelOpened?.();
  }

  vring(index: number): Vring {
    const found = this.vrings[index];
    if (found === undefined) {
      throw new VhostUserError('VRING_INDEX', `${index} of ${this.vrings.length}`);
    }
    return found;
  }

  /** Starts a vring as soon as everything is known; harmless before. */
  async startIfReady(vring: Vring): Promise<void> {
    if (!vring.ready || this.memory.regionCount === 0) {
      return;
    }
    if (this.stateTransfer?.running) {
      throw new VhostUserError('SESSION_STATE', 'a vring starts while device state is transferred');
    }
    if (this.#suspended) {
      await this.device.acquire?.();
    }
    try {
      await vring.start({
        memory: this.memory.id,
        inflight: this.#inflight?.id ?? NO_INFLIGHT,
        eventIdx: hasFeature(this.ackedFeatures, VIRTIO_F_RING_EVENT_IDX),
        packed: this.packed,
        inOrder: hasFeature(this.ackedFeatures, VIRTIO_F_IN_ORDER),
        readOnly: this.device.readsOnly?.(vring.index) ?? false,
        addressing: addressingOf(this.ackedFeatures, this.protocolFeatures),
        inband: this.notifier.inband,
        pool: this.pool,
      });
    } catch (error) {
      await this.#releaseUnused();
      throw error;
    }
    this.log.debug({ queue: vring.index, size: vring.size, base: vring.base }, 'vring started');
    this.notifier.vringStarted(vring);
  }

  /** Vrings that start from now on record their requests there. */
  setInflight(area: InflightArea | undefined): void {
    this.#inflight?.release();
    this.#inflight = area;
  }

  get recordsInflight(): boolean {
    return this.#inflight !== undefined;
  }

  /** Drains (or suspends) and stops, within the limit; the base to go on from. */
  async stopVring(vring: Vring, suspend = false): Promise<number> {
    this.translations.forget(vring.index);
    const base = await this.#drains.run(this.#stop(vring, suspend));
    return base ?? firstBase(this.packed);
  }

  async #stop(vring: Vring, suspend: boolean): Promise<number | undefined> {
    const ran = vring.started;
    const base = await vring.stop(this.pool, suspend, () => this.notifier.vringStops(vring));
    if (ran) {
      await this.#releaseUnused();
    }
    return base;
  }

  async #releaseUnused(): Promise<void> {
    if (this.#suspended) {
      await this.device.release?.();
    }
  }

  async stopAllVrings(): Promise<void> {
    await Promise.all(this.vrings.map((vring) => this.stopVring(vring)));
  }

  /** Puts another memory under all vrings. Those that wait only for memory start. */
  async changeMemory(next: GuestMemory): Promise<void> {
    const former = this.memory;
    this.memory = next;
    if (!this.#suspended) {
      await this.pool.changeMemory(next.id);
    }
    former.release();
    this.device.updateMemory?.({ regionCount: next.regionCount });
    for (const vring of this.vrings) {
      await this.startIfReady(vring);
    }
  }

  /** The same memory under other translations, changed in `range`. */
  async changeTranslations(next: GuestMemory, range: IoRange): Promise<void> {
    const former = this.memory;
    this.memory = next;
    this.translations.changed(range);
    const changed = this.#suspended
      ? Promise.resolve()
      : this.pool.changeTranslations(next.id, range);
    // Not before the workers have it: the number they are told must still be there.
    await this.#drains.run(changed.finally(() => former.release()));
  }

  async forgetTranslations(): Promise<void> {
    const all = { first: 0n, last: (1n << 64n) - 1n };
    await this.changeTranslations(this.memory.withoutTranslations(all.first, all.last), all);
  }

  async #serve(message: RawMessage): Promise<void> {
    const { header, fds } = message;
    const row = frontendRequestById(header.request) as unknown as RequestRow | undefined;
    try {
      if (header.isReply) {
        throw new VhostUserError('HEADER_FLAGS', 'a reply where a request was due');
      }
      if (this.postcopy.isAck(message)) {
        // Whatever its flags say, it is an answer itself and has none.
        await this.changeMemory(this.postcopy.acknowledged());
        return;
      }
      const decoded = decodeFrontendMessage({
        header,
        payload: message.payload,
        fdCount: fds.count,
        protocolFeatures: this.protocolFeatures,
      });
      this.log.debug({ request: decoded.name, fds: fds.count }, 'message');
      checkGates(row as RequestRow, this);
      const reply = await this.#handle(decoded, message);
      if (HANDSHAKE_ENDS.has(decoded.name)) {
        clearTimeout(this.#handshakeTimer);
      }
      // Before the answer: a front-end that has it may count on what it gave being closed.
      fds.close();
      if (reply instanceof ReplyInstead) {
        this.connection.send(reply.bytes);
      } else if (replyIsDue(row as RequestRow, header.needReply, this.protocolFeatures)) {
        this.#reply(row as RequestRow, reply);
      }
    } catch (error) {
      fds.close();
      this.#refuse(error, header, row);
    }
  }

  #reply(row: RequestRow, reply: unknown): void {
    if (!(reply instanceof ReplyWithFd)) {
      this.connection.send(encodeReplyTo(row as never, reply as never));
      return;
    }
    const bytes = encodeReplyTo(row as never, reply.payload as never);
    reply.send((fds) => this.connection.send(bytes, fds));
  }

  #handle(decoded: FrontendMessage, { fds }: RawMessage): Promise<unknown> {
    // The table ties name and payload together; inside the call both are erased.
    return HANDLERS[decoded.name](this, decoded.payload as never, fds);
  }

  /** A refusal where one can be sent; without a reply only closing tells the front-end. */
  #refuse(error: unknown, header: MessageHeader, row: RequestRow | undefined): void {
    if (!(error instanceof VhostUserError) || error.closesSession) {
      throw error;
    }
    const request = row?.name ?? header.request;
    this.peerFault({ request, code: error.code }, error.message);
    if (row === undefined) {
      const hasAck = hasFeature(this.protocolFeatures, VHOST_USER_PROTOCOL_F_REPLY_ACK);
      if (!header.needReply || !hasAck) {
        throw error;
      }
      this.connection.send(encodeReply(header.request, payloadCodec('u64').encode(NACK)));
      return;
    }
    const refusal = replyIsDue(row, header.needReply, this.protocolFeatures)
      ? encodeRefusal(row)
      : undefined;
    if (refusal === undefined) {
      throw error;
    }
    this.connection.send(refusal);
  }

  #logEnd(error: unknown): void {
    if (this.connection.closed) {
      this.log.debug({}, 'session closed by this side');
    } else if (error instanceof VhostUserError) {
      this.log.warn({ code: error.code }, `session closed: ${error.message}`);
    } else {
      this.log.error({ error: String((error as Error).stack ?? error) }, 'session failed');
    }
  }

  async #end(): Promise<void> {
    clearTimeout(this.#handshakeTimer);
    this.connection.close();
    this.notifier.close();
    // A worker that waits for a page nobody will bring could not stop.
    this.postcopy.end(this.memory);
    await this.stopAllVrings().catch((error: unknown) => this.#logEnd(error));
    // Memory and device stay until the last request that uses them has come back.
    await this.#drains.settled();
    for (const vring of this.vrings) vring.close();
    await this.dirtyLog.close();
    await this.stateTransfer?.ended;
    this.memory.release();
    this.setInflight(undefined);
    await this.device.resetDevice?.();
  }
}
