// A real session between a socket and real workers; the test is the front-end, message by message.

import type { Test } from 'tap';
import { Connection, type ConnectionOptions } from '../../src/core/connection/connection.js';
import type {
  ConfigWriteReason,
  DataHalf,
  DeviceHost,
  MemoryUpdate,
  VirtioDevice,
} from '../../src/core/device.js';
import type { Log } from '../../src/core/log.js';
import {
  decodeHeader,
  encodeFrontendRequest,
  type FrontendRequestName,
  frontendRequest,
  HEADER_BYTES,
  type PayloadOf,
  payloadCodec,
  type RequestRow,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VhostUserError,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from '../../src/core/protocol/index.js';
import { SessionBackendRequests } from '../../src/core/session/backend-requests.js';
import { Session } from '../../src/core/session/session.js';
import { native } from '../../src/native/index.js';
import { Peer } from './peer.js';
import { socketPair } from './resources.js';
import { scriptedDataHalf, scriptedPool } from './scripted-pool.js';
import type { TinyRing } from './tiny-ring.js';

export const QUEUES = 2;
export const QUEUE_SIZE_MAX = 256;
export const CONFIG_BYTES = 16;

/** Remembers what it was told, in order. */
export class RecordingDevice implements VirtioDevice {
  readonly name = 'recording';
  readonly virtioId = 42;
  readonly calls: string[] = [];
  /** What it is only told, apart: most tests ask for the calls that may refuse. */
  readonly notices: string[] = [];
  readonly config = Uint8Array.from({ length: CONFIG_BYTES }, (_, i) => i + 1);

  numQueues(): number {
    return QUEUES;
  }

  maxQueueSize(): number {
    return QUEUE_SIZE_MAX;
  }

  features(): bigint {
    return VIRTIO_F_VERSION_1 | VIRTIO_F_RING_EVENT_IDX | 1n;
  }

  protocolFeatures(): bigint {
    return 0n;
  }

  dataHalf(): DataHalf {
    return scriptedDataHalf();
  }

  async ackedFeatures(features: bigint): Promise<void> {
    this.calls.push(`acked ${features.toString(16)}`);
  }

  getConfig(offset: number, size: number): Uint8Array {
    return this.config.slice(offset, offset + size);
  }

  async setConfig(offset: number, bytes: Uint8Array, reason: ConfigWriteReason): Promise<void> {
    if (offset === 0) {
      throw new VhostUserError('CONFIG_READ_ONLY');
    }
    this.calls.push(`config ${offset} ${[...bytes]} ${reason}`);
  }

  async resetDevice(): Promise<void> {
    this.calls.push('reset');
  }

  setEventIdx(enabled: boolean): void {
    this.notices.push(`event idx ${enabled}`);
  }

  updateMemory({ regionCount }: MemoryUpdate): void {
    this.notices.push(`memory ${regionCount}`);
  }

  backendChannelOpened(): void {
    this.notices.push('channel');
  }
}

export interface RigOptions {
  readonly connection?: ConnectionOptions;
  readonly drainTimeoutMs?: number;
  readonly channelReplyTimeoutMs?: number;
  readonly device?: VirtioDevice;
}

export interface AskOptions {
  readonly needReply?: boolean;
  readonly fds?: readonly number[];
}

export type Reply = { readonly payload: unknown; readonly bytes: Uint8Array };

export class SessionRig {
  readonly peer: Peer;
  readonly session: Session;
  readonly device: RecordingDevice;
  /** What the daemon gives the device. */
  readonly host: DeviceHost;
  readonly lines: string[] = [];
  readonly ended: Promise<void>;
  /** Ends the workers; the end of the test does it too. */
  readonly close: () => Promise<void>;

  constructor(t: Test, options: RigOptions = {}) {
    const [ours, theirs] = socketPair();
    this.peer = new Peer(theirs, { keepFds: true });
    this.device =
      options.device instanceof RecordingDevice ? options.device : new RecordingDevice();
    const { pool, close } = scriptedPool(
      t,
      { queuesPerThread: [(1n << BigInt(QUEUES)) - 1n] },
      {
        queueBroken: (queue, fault) => this.session.queueBroken(queue, fault),
        inbandCall: (queue) => this.session.inbandCall(queue),
      },
    );
    this.close = close;
    this.session = new Session({
      connection: new Connection(ours, options.connection),
      device: options.device ?? this.device,
      pool,
      log: this.#log(),
      channelReplyTimeoutMs: options.channelReplyTimeoutMs ?? 30_000,
      ...(options.drainTimeoutMs === undefined ? {} : { drainTimeoutMs: options.drainTimeoutMs }),
    });
    const backend = new SessionBackendRequests(() => this.session.notifier);
    this.host = {
      backend,
      configChanged: () => void backend.configChanged(),
      tellHandlers: (message) => pool.tellHandlers(message),
    };
    this.session.device.attach?.(this.host);
    this.ended = this.session.run();
    t.teardown(async () => {
      this.peer.close();
      await this.ended;
      await close();
    });
  }

  send<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    { needReply = false, fds = [] }: AskOptions = {},
  ): void {
    this.peer.send(encodeFrontendRequest(name, payload, { needReply }), fds);
  }

  /** Sends and takes the reply, with a request that is always answered or with NEED_REPLY. An
   *  acknowledgement is its u64; undefined: the connection was closed. */
  async ask<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    options: AskOptions = {},
  ): Promise<unknown> {
    this.send(name, payload, { needReply: true, ...options });
    return (await this.reply(name))?.payload;
  }

  async reply(name: FrontendRequestName): Promise<Reply | undefined> {
    const bytes = await this.peer.message();
    if (bytes === undefined) {
      return undefined;
    }
    const header = decodeHeader(bytes.subarray(0, HEADER_BYTES));
    const row = frontendRequest(name) as unknown as RequestRow;
    if (header.request !== row.id || header.flags !== 5) {
      throw new Error(`reply to ${header.request} with flags ${header.flags}`);
    }
    const body = bytes.slice(HEADER_BYTES);
    const kind =
      body.byteLength === 8 && row.reply.payload !== 'vringState' ? 'u64' : row.reply.payload;
    return { bytes, payload: body.byteLength === 0 ? 'empty' : payloadCodec(kind).decode(body) };
  }

  /** SET_PROTOCOL_FEATURES and SET_FEATURES as a usual front-end sends them. */
  async negotiate(features = this.session.offeredFeatures): Promise<void> {
    await this.ask('GET_FEATURES', undefined);
    const protocol = (await this.ask('GET_PROTOCOL_FEATURES', undefined)) as bigint;
    // Tests give ring addresses as the front-end's own.
    const taken = protocol & ~VHOST_USER_PROTOCOL_F_GPA_ADDRESSES;
    this.send('SET_PROTOCOL_FEATURES', taken | VHOST_USER_PROTOCOL_F_REPLY_ACK);
    const answer = await this.ask('SET_FEATURES', features | VHOST_USER_F_PROTOCOL_FEATURES);
    if (answer !== 0n) {
      throw new Error(`features refused: ${answer}`);
    }
  }

  /** Brings a vring up over the wire; descriptors left out of `which` are not given. */
  async startVring(ring: TinyRing, which = ['call', 'err', 'kick'], index = 0): Promise<void> {
    const { fd, ...region } = ring.region;
    await this.ask('SET_MEM_TABLE', { regions: [region] }, { fds: [fd] });
    await this.ask('SET_VRING_NUM', { index, num: ring.size });
    await this.ask('SET_VRING_ADDR', { index, flags: 0, logAddress: 0n, ...ring.addresses });
    const fds = [
      ['call', 'SET_VRING_CALL', ring.callFd],
      ['err', 'SET_VRING_ERR', ring.errFd],
      ['kick', 'SET_VRING_KICK', ring.kickFd],
    ] as const;
    for (const [name, request, vringFd] of fds) {
      if (which.includes(name)) {
        await this.ask(request, { index, hasFd: true }, { fds: [vringFd] });
      }
    }
    await this.ask('SET_VRING_ENABLE', { index, num: 1 });
  }

  /** The other end of a back-end channel. */
  async openChannel(t: Test): Promise<Peer> {
    const [ours, theirs] = socketPair();
    const answer = await this.ask('SET_BACKEND_REQ_FD', undefined, { fds: [ours] });
    native.fdClose(ours);
    const channel = new Peer(theirs, { keepFds: true });
    t.teardown(() => channel.close());
    if (answer !== 0n) {
      throw new Error(`channel refused: ${answer}`);
    }
    return channel;
  }

  #log(): Log {
    const write =
      (level: string) => (fields: Readonly<Record<string, unknown>>, message: string) => {
        this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
      };
    return { error: write('error'), warn: write('warn'), info: write('info'), debug: () => {} };
  }
}
