// The front-end's end of a vhost-user connection: every request as a method. With REPLY_ACK
// negotiated each one is acknowledged, so a refusal is an error here. What the methods have in
// common, their errors too, is in vhost-user-exchange.ts.

import {
  type IotlbMessage,
  MEM_TABLE_REGIONS_MAX,
  type MemoryRegion,
  type ShmemRegion,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VhostUserError,
  type VringAddr,
} from '../protocol/index.js';
import {
  type BackendRequestHandlers,
  BackendRequestPort,
  backendRequestSockets,
} from './backend-request-port.js';
import {
  type MemoryRegionInfo,
  type VhostBackend,
  type VringConfigData,
  validateMemoryRegions,
  validateVringConfig,
} from './vhost-backend.js';
import type { ExchangeOptions } from './vhost-user-exchange.js';
import { VhostUserMigration } from './vhost-user-migration.js';

const MAC_BYTES = 6;

export class VhostUserFrontend extends VhostUserMigration implements VhostBackend {
  #backendRequests: BackendRequestPort | undefined;

  /** Connects to the socket a back-end listens on; throws SystemError. */
  static connect(path: string, options: ExchangeOptions = {}): VhostUserFrontend {
    return new VhostUserFrontend(VhostUserFrontend.socketTo(path), options);
  }

  // Features and ownership.

  /** GET_FEATURES: virtio bits, LOG_ALL and bit 30. Legal at any time. */
  getFeatures(): Promise<bigint> {
    return this.question('GET_FEATURES', undefined);
  }

  /** SET_FEATURES: never stops a vring; without bit 30 it enables them all. */
  setFeatures(features: bigint): Promise<void> {
    return this.command('SET_FEATURES', features);
  }

  /** SET_OWNER: begins a session. */
  setOwner(): Promise<void> {
    return this.command('SET_OWNER', undefined);
  }

  /** RESET_OWNER: deprecated; a back-end disables all vrings or ignores it. */
  resetOwner(): Promise<void> {
    return this.command('RESET_OWNER', undefined);
  }

  /** GET_PROTOCOL_FEATURES: only when GET_FEATURES offered bit 30. */
  getProtocolFeatures(): Promise<bigint> {
    return this.question('GET_PROTOCOL_FEATURES', undefined);
  }

  /** SET_PROTOCOL_FEATURES: in force for the next message, before SET_FEATURES. */
  setProtocolFeatures(features: bigint): Promise<void> {
    return this.inTurn(async () => {
      await this.commandNow('SET_PROTOCOL_FEATURES', features);
      this.protocolFeatures = features;
    });
  }

  /** GET_QUEUE_NUM (MQ). For net DPDK and QEMU count pairs, rust-vmm counts queues. */
  getQueueNum(): Promise<bigint> {
    return this.question('GET_QUEUE_NUM', undefined);
  }

  /** SET_STATUS (STATUS): the virtio device status; 0 resets the device. */
  setStatus(status: number): Promise<void> {
    return this.command('SET_STATUS', BigInt(status));
  }

  /** GET_STATUS (STATUS): FEATURES_OK is missing when the features were refused. */
  async getStatus(): Promise<number> {
    return Number(await this.question('GET_STATUS', undefined));
  }

  /** RESET_DEVICE: disables all vrings and resets the device; the session goes on. */
  resetDevice(): Promise<void> {
    return this.command('RESET_DEVICE', undefined);
  }

  // Memory.

  /** SET_MEM_TABLE, checked first: 1 to 8 regions, as many as a message has descriptors. Rejects
   *  with INVALID_GUEST_MEMORY and INVALID_GUEST_MEMORY_REGION too. */
  setMemTable(regions: readonly MemoryRegionInfo[]): Promise<void>;
  /** SET_MEM_TABLE as it is, right or wrong: regions and descriptors may disagree. */
  setMemTable(regions: readonly MemoryRegion[], fds: readonly number[]): Promise<void>;
  async setMemTable(
    regions: readonly MemoryRegion[] | readonly MemoryRegionInfo[],
    fds?: readonly number[],
  ): Promise<void> {
    await this.command('SET_MEM_TABLE', { regions }, { fds: fds ?? checkedHandles(regions) });
  }

  /** GET_MAX_MEM_SLOTS (CONFIGURE_MEM_SLOTS). */
  getMaxMemSlots(): Promise<bigint> {
    return this.question('GET_MAX_MEM_SLOTS', undefined);
  }

  /** ADD_MEM_REG (CONFIGURE_MEM_SLOTS): one region more, with its descriptor. */
  addMemRegion(region: MemoryRegion, fd: number): Promise<void> {
    return this.command('ADD_MEM_REG', region, { fds: [fd] });
  }

  /** REM_MEM_REG (CONFIGURE_MEM_SLOTS): found by both addresses and the size. */
  removeMemRegion(region: MemoryRegion): Promise<void> {
    return this.command('REM_MEM_REG', region);
  }

  /** IOTLB_MSG: an update or invalidation. Needs ACCESS_PLATFORM acknowledged. Sent with
   *  NEED_REPLY always: the text wants a reply, DPDK gives it only when asked. */
  sendIotlb(message: IotlbMessage): Promise<void> {
    return this.command('IOTLB_MSG', message, { needReply: true, replyDue: true });
  }

  /** GET_SHMEM_CONFIG (SHMEM): the device's shared memory regions, fixed for the connection. */
  async getShmemConfig(): Promise<readonly ShmemRegion[]> {
    return (await this.question('GET_SHMEM_CONFIG', undefined)).regions;
  }

  // Vrings.

  /** SET_VRING_NUM: the size of a stopped vring. */
  setVringNum(index: number, num: number): Promise<void> {
    return this.command('SET_VRING_NUM', { index, num });
  }

  /** SET_VRING_ADDR, checked first: rejects with INVALID_QUEUE and the codes of addresses too. On
   *  a started vring only the log flag may change. */
  setVringAddr(index: number, config: VringConfigData): Promise<void>;
  /** SET_VRING_ADDR as it is, right or wrong. */
  setVringAddr(addresses: VringAddr): Promise<void>;
  async setVringAddr(target: number | VringAddr, config?: VringConfigData): Promise<void> {
    const addresses =
      typeof target === 'number' ? vringAddr(target, config as VringConfigData) : target;
    await this.command('SET_VRING_ADDR', addresses);
  }

  /** SET_VRING_BASE: split, the next avail index; packed, avail and used each with its wrap
   *  counter. */
  setVringBase(index: number, base: number): Promise<void> {
    return this.command('SET_VRING_BASE', { index, num: base });
  }

  /** GET_VRING_BASE: stops the vring once all in flight has completed; where it stopped. `suspend`
   *  (GET_VRING_BASE_INFLIGHT) leaves what is in flight to the inflight area instead. */
  getVringBase(index: number, { suspend = false } = {}): Promise<number> {
    return this.inTurn(async () => {
      const more = suspend ? VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT : 0n;
      this.requireNegotiated('GET_VRING_BASE', more);
      const { num } = await this.answerNow('GET_VRING_BASE', { index, num: suspend ? 1 : 0 });
      return num;
    });
  }

  /** SET_VRING_KICK: the vring starts with the first kick. */
  setVringKick(index: number, fd: number | undefined): Promise<void> {
    return this.#vringFd('SET_VRING_KICK', index, fd);
  }

  /** SET_VRING_CALL: may change while the vring runs; many back-ends signal it on receipt. */
  setVringCall(index: number, fd: number | undefined): Promise<void> {
    return this.#vringFd('SET_VRING_CALL', index, fd);
  }

  /** SET_VRING_ERR. */
  setVringErr(index: number, fd: number | undefined): Promise<void> {
    return this.#vringFd('SET_VRING_ERR', index, fd);
  }

  /** SET_VRING_ENABLE: needs bit 30 acknowledged; remembered while the vring is stopped. */
  setVringEnable(index: number, enabled: boolean): Promise<void> {
    return this.command('SET_VRING_ENABLE', { index, num: enabled ? 1 : 0 });
  }

  /** SET_VRING_ENDIAN (CROSS_ENDIAN): byte order of a legacy device's vring. */
  setVringEndian(index: number, order: 'little' | 'big'): Promise<void> {
    return this.command('SET_VRING_ENDIAN', { index, num: order === 'big' ? 1 : 0 });
  }

  /** VRING_KICK (INBAND_NOTIFICATIONS): a kick as a message; it starts the vring too. */
  kickVring(index: number): Promise<void> {
    return this.command('VRING_KICK', { index, num: 0 });
  }

  // Config space.

  /** GET_CONFIG (CONFIG). Rejects with PEER_REFUSED for both ways to say no: an empty payload
   *  (libvhost-user) and a head that announces no bytes (rust-vmm); PAYLOAD_SIZE for a reply of
   *  another length than asked for. */
  async getConfig(offset: number, size: number): Promise<Uint8Array> {
    const request = { offset, flags: 0, bytes: new Uint8Array(size) };
    const { bytes } = await this.question('GET_CONFIG', request);
    if (bytes.byteLength === 0) {
      throw new VhostUserError('PEER_REFUSED', 'GET_CONFIG');
    }
    if (bytes.byteLength !== size) {
      throw new VhostUserError('PAYLOAD_SIZE', `${bytes.byteLength} bytes, asked were ${size}`);
    }
    return bytes;
  }

  /** SET_CONFIG (CONFIG): flags 0 for the driver's write, 1 for live migration.
   *  `qemu-storage-daemon` ends the session for any flag. */
  setConfig(offset: number, bytes: Uint8Array, flags = 0): Promise<void> {
    return this.command('SET_CONFIG', { offset, flags, bytes });
  }

  // What single kinds of devices have.

  /** SEND_RARP (RARP): announces a MAC address to the network. Throws RangeError. */
  async sendRarp(mac: Uint8Array): Promise<void> {
    if (mac.byteLength !== MAC_BYTES) {
      throw new RangeError(`a MAC address has ${MAC_BYTES} bytes, not ${mac.byteLength}`);
    }
    const word = new Uint8Array(8);
    word.set(mac);
    await this.command('SEND_RARP', new DataView(word.buffer).getBigUint64(0, true));
  }

  /** NET_SET_MTU (MTU): the MTU the driver was told of. */
  setNetMtu(mtu: number): Promise<void> {
    return this.command('NET_SET_MTU', BigInt(mtu));
  }

  /** CREATE_CRYPTO_SESSION (CRYPTO_SESSION): the description with the session's id filled in. */
  createCryptoSession(description: Uint8Array): Promise<Uint8Array> {
    return this.question('CREATE_CRYPTO_SESSION', description);
  }

  /** CLOSE_CRYPTO_SESSION (CRYPTO_SESSION). */
  closeCryptoSession(id: bigint): Promise<void> {
    return this.command('CLOSE_CRYPTO_SESSION', id);
  }

  /** GPU_SET_SOCKET: the socket for display commands. */
  setGpuSocket(fd: number): Promise<void> {
    return this.command('GPU_SET_SOCKET', undefined, { fds: [fd] });
  }

  /** GET_SHARED_OBJECT (SHARED_OBJECT): the descriptor of the object, which is the caller's now;
   *  undefined when the back-end does not know it. */
  getSharedObject(uuid: string): Promise<number | undefined> {
    return this.inTurn(async () => {
      const { fds } = await this.questionNow('GET_SHARED_OBJECT', { uuid });
      const fd = fds.count > 0 ? fds.take() : undefined;
      fds.close();
      return fd;
    });
  }

  // The back-end's own requests.

  /** SET_BACKEND_REQ_FD (BACKEND_REQ): a socket for the back-end's requests. A second one replaces
   *  the first. */
  setBackendReqFd(fd: number): Promise<void> {
    return this.command('SET_BACKEND_REQ_FD', undefined, { fds: [fd] });
  }

  /** SET_BACKEND_REQ_FD with a socket served here: each request goes to its handler until the next
   *  call, or close(). */
  async serveBackendRequests(handlers: BackendRequestHandlers): Promise<BackendRequestPort> {
    const { ours, theirs, closeTheirs } = backendRequestSockets();
    const port = new BackendRequestPort(ours, handlers, () => this.protocolFeatures);
    try {
      await this.setBackendReqFd(theirs);
    } catch (error) {
      port.close();
      throw error;
    } finally {
      closeTheirs();
    }
    this.#backendRequests?.close();
    this.#backendRequests = port;
    return port;
  }

  override close(): void {
    this.#backendRequests?.close();
    super.close();
  }

  #vringFd(
    name: 'SET_VRING_KICK' | 'SET_VRING_CALL' | 'SET_VRING_ERR',
    index: number,
    fd: number | undefined,
  ): Promise<void> {
    const fds = fd === undefined ? [] : [fd];
    return this.command(name, { index, hasFd: fd !== undefined }, { fds });
  }
}

function checkedHandles(regions: readonly MemoryRegion[]): number[] {
  const infos = regions as readonly MemoryRegionInfo[];
  validateMemoryRegions(infos, MEM_TABLE_REGIONS_MAX);
  return infos.map(({ mmapHandle }) => mmapHandle);
}

function vringAddr(index: number, config: VringConfigData): VringAddr {
  validateVringConfig(config);
  return {
    index,
    flags: config.flags,
    descriptorAddress: config.descTableAddress,
    availableAddress: config.availRingAddress,
    usedAddress: config.usedRingAddress,
    logAddress: config.logAddress ?? 0n,
  };
}
