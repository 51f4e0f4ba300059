// One front-end's connection from accept to the end: reads a message, checks it against the table,
// lets its handler act, answers. One message at a time; the state is the fields of this class.

import type { Connection, RawMessage } from '../connection/connection.js';
import type { VirtioDevice } from '../device.js';
import { type Log, rateLimited } from '../log.js';
import { GuestMemory } from '../memory/guest-memory.js';
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
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VhostUserError,
  VIRTIO_F_RING_EVENT_IDX,
} from '../protocol/index.js';
import type { IoRange } from '../worker/commands.js';
import { RING_FAULT_MEMORY_LOST, RING_FAULTS } from '../worker/ring-faults.js';
import type { WorkerPool } from '../worker/worker-pool.js';
import type { BackendChannel } from './backend-channel.js';
import { HANDLERS } from './handlers/index.js';
import { Postcopy } from './postcopy.js';
import { addressingOf, Translations } from './translations.js';
import { Vring } from './vring.js';

/** Storage that hangs must not hold the front-end for ever; QEMU's own I/O timeouts are longer. */
export const DRAIN_TIMEOUT_MS = 30_000;

/** Requests a front-end may send whatever it negotiated: SPDK asks GET_QUEUE_NUM without MQ. */
const UNGATED = new Set(['GET_QUEUE_NUM']);

export interface SessionOptions {
  readonly connection: Connection;
  readonly device: VirtioDevice;
  readonly pool: WorkerPool;
  readonly log: Log;
  readonly drainTimeoutMs?: number;
}

export class Session {
  readonly connection: Connection;
  readonly device: VirtioDevice;
  readonly pool: WorkerPool;
  readonly log: Log;
  readonly vrings: readonly Vring[];
  ackedFeatures = 0n;
  /** True once SET_FEATURES succeeded: FEATURES_OK may read back as set. */
  featuresSet = false;
  protocolFeatures = 0n;
  status = 0;
  memory = GuestMemory.empty();
  backendChannel: BackendChannel | undefined;
  readonly translations: Translations;
  readonly postcopy = new Postcopy();
  #ownReply: { readonly bytes: Uint8Array; readonly fds: readonly number[] } | undefined;
  readonly #drainTimeoutMs: number;
  readonly #peerFault: Log['warn'];
  /** Stops of vrings that outlive their request because storage hangs. */
  readonly #draining = new Set<Promise<unknown>>();

  constructor({ connection, device, pool, log, drainTimeoutMs }: SessionOptions) {
    this.connection = connection;
    this.device = device;
    this.pool = pool;
    this.log = log;
    this.translations = new Translations(log);
    this.vrings = Array.from({ length: device.numQueues() }, (_, index) => new Vring(index));
    this.#drainTimeoutMs = drainTimeoutMs ?? DRAIN_TIMEOUT_MS;
    this.#peerFault = rateLimited((fields, message) => log.warn(fields, message));
  }

  get offeredFeatures(): bigint {
    return this.device.features() | VHOST_USER_F_PROTOCOL_FEATURES;
  }

  /** Serves until the connection ends; never rejects. Afterwards nothing of the session is left. */
  async run(): Promise<void> {
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
    this.#peerFault({ queue, fault: RING_FAULTS[fault] ?? fault }, 'virtqueue stopped');
    if (fault === RING_FAULT_MEMORY_LOST) {
      this.connection.fail(new VhostUserError('MEMORY_LOST'));
    }
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
    await vring.start({
      memory: this.memory.id,
      eventIdx: hasFeature(this.ackedFeatures, VIRTIO_F_RING_EVENT_IDX),
      addressing: addressingOf(this.ackedFeatures, this.protocolFeatures),
      pool: this.pool,
    });
    this.log.debug({ queue: vring.index, size: vring.size, base: vring.base }, 'vring started');
  }

  /** Drains and stops, within the limit; the next avail index. */
  async stopVring(vring: Vring): Promise<number> {
    this.translations.forget(vring.index);
    return await this.#drain(vring.stop(this.pool));
  }

  /** Waits for requests in flight, within the limit; what is left then is waited for at the end. */
  async #drain<T>(work: Promise<T>): Promise<T> {
    this.#draining.add(work);
    void work.finally(() => this.#draining.delete(work));
    return await withLimit(work, this.#drainTimeoutMs);
  }

  async stopAllVrings(): Promise<void> {
    await Promise.all(this.vrings.map((vring) => this.stopVring(vring)));
  }

  /** Puts another memory under all vrings. Those that wait only for memory start. */
  async changeMemory(next: GuestMemory): Promise<void> {
    const former = this.memory;
    this.memory = next;
    if (this.vrings.some((vring) => vring.started)) {
      await this.pool.changeMemory(next.id);
    }
    former.release();
    for (const vring of this.vrings) {
      await this.startIfReady(vring);
    }
  }

  /** The same memory under other translations, changed in `range`. */
  async changeTranslations(next: GuestMemory, range: IoRange): Promise<void> {
    const former = this.memory;
    this.memory = next;
    this.translations.changed(range);
    const started = this.vrings.some((vring) => vring.started);
    const changed = started ? this.pool.changeTranslations(next.id, range) : Promise.resolve();
    // Not before the workers have it: the number they are told must still be there.
    await this.#drain(changed.finally(() => former.release()));
  }

  async forgetTranslations(): Promise<void> {
    const all = { first: 0n, last: (1n << 64n) - 1n };
    await this.changeTranslations(this.memory.withoutTranslations(all.first, all.last), all);
  }

  /** The reply to the message being handled, in place of the table's; fds stay the caller's. */
  replyInstead(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.#ownReply = { bytes, fds };
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
      this.#checkGates(row as RequestRow);
      const reply = await this.#handle(decoded, message);
      // Before the answer: a front-end that has it may count on what it gave being closed.
      fds.close();
      const own = this.#ownReply;
      this.#ownReply = undefined;
      if (own !== undefined) {
        this.connection.send(own.bytes, own.fds);
      } else if (replyIsDue(row as RequestRow, header.needReply, this.protocolFeatures)) {
        this.connection.send(encodeReplyTo(row as never, reply as never));
      }
    } catch (error) {
      fds.close();
      this.#refuse(error, header, row);
    }
  }

  #handle(decoded: FrontendMessage, { fds }: RawMessage): Promise<unknown> {
    // The table ties name and payload together; inside the call both are erased.
    return HANDLERS[decoded.name](this, decoded.payload as never, fds);
  }

  #checkGates(row: RequestRow): void {
    if (!UNGATED.has(row.name) && !hasFeature(this.protocolFeatures, row.needs)) {
      throw new VhostUserError('NOT_NEGOTIATED', row.name);
    }
    if (row.feature !== undefined) {
      const { mask, state } = row.feature;
      const bits = state === 'offered' ? this.offeredFeatures : this.ackedFeatures;
      if (!hasFeature(bits, mask)) {
        throw new VhostUserError('NOT_NEGOTIATED', row.name);
      }
    }
  }

  /** A refusal where one can be sent; without a reply only closing tells the front-end. */
  #refuse(error: unknown, header: MessageHeader, row: RequestRow | undefined): void {
    if (!(error instanceof VhostUserError) || error.closesSession) {
      throw error;
    }
    const request = row?.name ?? header.request;
    this.#peerFault({ request, code: error.code }, error.message);
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
    this.connection.close();
    this.backendChannel?.close();
    // A worker that waits for a page nobody will bring could not stop.
    this.postcopy.end(this.memory);
    await this.stopAllVrings().catch((error: unknown) => this.#logEnd(error));
    // Memory and device stay until the last request that uses them has come back.
    await Promise.all(this.#draining);
    this.memory.release();
    await this.device.resetDevice?.();
  }
}

async function withLimit<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new VhostUserError('DRAIN_TIMEOUT')), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
