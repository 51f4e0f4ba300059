// The front-end's end of a vhost-user connection: every request as a method, one at a time. With
// REPLY_ACK negotiated each one is acknowledged, so a refusal is an error here.

import { check, native } from '../../native/index.js';
import { Connection, type RawMessage } from '../connection/connection.js';
import {
  encodeFrontendRequest,
  type FrontendRequestName,
  frontendRequest,
  hasFeature,
  type LogArea,
  type MemoryRegion,
  type PayloadOf,
  payloadCodec,
  type ReplyOf,
  type RequestRow,
  replyIsDue,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VhostUserError,
  type VringAddr,
} from '../protocol/index.js';

/** How long a back-end may take to answer; a drain of a busy disk is the longest. */
const REPLY_TIMEOUT_MS = 60_000;

export class VhostUserFrontend {
  readonly connection: Connection;
  protocolFeatures = 0n;

  /** Takes ownership of a connected, non-blocking socket. */
  constructor(fd: number) {
    this.connection = new Connection(fd, { messageTimeoutMs: REPLY_TIMEOUT_MS });
  }

  static connect(path: string): VhostUserFrontend {
    return new VhostUserFrontend(check('connect', native.socketConnect(path)));
  }

  getFeatures(): Promise<bigint> {
    return this.request('GET_FEATURES', undefined);
  }

  async setFeatures(features: bigint): Promise<void> {
    await this.#acknowledged('SET_FEATURES', features);
  }

  async setOwner(): Promise<void> {
    await this.#acknowledged('SET_OWNER', undefined);
  }

  getProtocolFeatures(): Promise<bigint> {
    return this.request('GET_PROTOCOL_FEATURES', undefined);
  }

  async setProtocolFeatures(features: bigint): Promise<void> {
    // In force with this very message's successors, not for the message itself.
    await this.#acknowledged('SET_PROTOCOL_FEATURES', features);
    this.protocolFeatures = features;
  }

  getQueueNum(): Promise<bigint> {
    return this.request('GET_QUEUE_NUM', undefined);
  }

  getMaxMemSlots(): Promise<bigint> {
    return this.request('GET_MAX_MEM_SLOTS', undefined);
  }

  async setMemTable(regions: readonly MemoryRegion[], fds: readonly number[]): Promise<void> {
    await this.#acknowledged('SET_MEM_TABLE', { regions }, fds);
  }

  async addMemRegion(region: MemoryRegion, fd: number): Promise<void> {
    await this.#acknowledged('ADD_MEM_REG', region, [fd]);
  }

  async removeMemRegion(region: MemoryRegion): Promise<void> {
    await this.#acknowledged('REM_MEM_REG', region);
  }

  /** The dirty log is the area of the file; takes VHOST_USER_PROTOCOL_F_LOG_SHMFD. */
  async setLogBase(area: LogArea, fd: number): Promise<void> {
    await this.#acknowledged('SET_LOG_BASE', { form: 'area', ...area }, [fd]);
  }

  /** The eventfd to signal after bits of the log were set. */
  async setLogFd(fd: number): Promise<void> {
    await this.#acknowledged('SET_LOG_FD', undefined, [fd]);
  }

  async setVringNum(index: number, num: number): Promise<void> {
    await this.#acknowledged('SET_VRING_NUM', { index, num });
  }

  async setVringAddr(addresses: VringAddr): Promise<void> {
    await this.#acknowledged('SET_VRING_ADDR', addresses);
  }

  async setVringBase(index: number, num: number): Promise<void> {
    await this.#acknowledged('SET_VRING_BASE', { index, num });
  }

  async setVringKick(index: number, fd: number | undefined): Promise<void> {
    await this.#acknowledged('SET_VRING_KICK', ...vringFd(index, fd));
  }

  async setVringCall(index: number, fd: number | undefined): Promise<void> {
    await this.#acknowledged('SET_VRING_CALL', ...vringFd(index, fd));
  }

  async setVringErr(index: number, fd: number | undefined): Promise<void> {
    await this.#acknowledged('SET_VRING_ERR', ...vringFd(index, fd));
  }

  async setVringEnable(index: number, enabled: boolean): Promise<void> {
    await this.#acknowledged('SET_VRING_ENABLE', { index, num: enabled ? 1 : 0 });
  }

  /** Stops the vring; the next avail index. */
  async getVringBase(index: number): Promise<number> {
    return (await this.request('GET_VRING_BASE', { index, num: 0 })).num;
  }

  async getConfig(offset: number, size: number): Promise<Uint8Array> {
    const request = { offset, flags: 0, bytes: new Uint8Array(size) };
    return (await this.request('GET_CONFIG', request)).bytes;
  }

  async setConfig(offset: number, bytes: Uint8Array, flags = 0): Promise<void> {
    await this.#acknowledged('SET_CONFIG', { offset, flags, bytes });
  }

  async setBackendReqFd(fd: number): Promise<void> {
    await this.#acknowledged('SET_BACKEND_REQ_FD', undefined, [fd]);
  }

  async resetDevice(): Promise<void> {
    await this.#acknowledged('RESET_DEVICE', undefined);
  }

  async setStatus(status: number): Promise<void> {
    await this.#acknowledged('SET_STATUS', BigInt(status));
  }

  async getStatus(): Promise<number> {
    return Number(await this.request('GET_STATUS', undefined));
  }

  /** Any request; the reply, when one is due. Throws VhostUserError PEER_REFUSED on a refusal that
   *  has no payload of its own. */
  async request<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    fds: readonly number[] = [],
  ): Promise<ReplyOf<N>> {
    const needReply = hasFeature(this.protocolFeatures, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    const row = frontendRequest(name) as unknown as RequestRow;
    this.connection.send(encodeFrontendRequest(name, payload, { needReply }), fds);
    if (!replyIsDue(row, needReply, this.protocolFeatures)) {
      return undefined as ReplyOf<N>;
    }
    const reply = await this.receive();
    if (reply.header.request !== row.id || !reply.header.isReply) {
      throw new VhostUserError('UNEXPECTED_REPLY', name);
    }
    const codec = payloadCodec(row.reply.payload);
    if (reply.payload.byteLength === 0 && row.reply.payload !== 'none') {
      throw new VhostUserError('PEER_REFUSED', name);
    }
    return codec.decode(reply.payload) as ReplyOf<N>;
  }

  /** The next message of the back-end; throws VhostUserError when the connection has ended. */
  async receive(): Promise<RawMessage> {
    const message = await this.connection.receive();
    if (message === undefined) {
      throw new VhostUserError('PEER_CLOSED');
    }
    return message;
  }

  /** Bytes as they are, legal or not. */
  sendRaw(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.connection.send(bytes, fds);
  }

  close(): void {
    this.connection.close();
  }

  async #acknowledged<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
    fds: readonly number[] = [],
  ): Promise<void> {
    const answer = await this.request(name, payload, fds);
    if (typeof answer === 'bigint' && answer !== 0n) {
      throw new VhostUserError('PEER_REFUSED', name);
    }
  }
}

function vringFd(
  index: number,
  fd: number | undefined,
): [{ index: number; hasFd: boolean }, number[]] {
  return [{ index, hasFd: fd !== undefined }, fd === undefined ? [] : [fd]];
}
