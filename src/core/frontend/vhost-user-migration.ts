// The requests that move a running guest or outlive a back-end: dirty log, inflight area, device
// state, postcopy. Their replies carry descriptors or vary, so each reads its reply itself.

import { fstatSync } from 'node:fs';
import type { FdBag } from '../connection/fd-bag.js';
import {
  DEVICE_STATE_DIRECTION_LOAD,
  DEVICE_STATE_DIRECTION_SAVE,
  DEVICE_STATE_PHASE_STOPPED,
  encodeRequest,
  type FrontendRequestName,
  frontendRequest,
  type Inflight,
  type LogArea,
  type MemoryRegion,
  type PayloadOf,
  type ReplyOf,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VhostUserError,
} from '../protocol/index.js';
import type { MemoryRegionInfo } from './vhost-backend.js';
import { VhostError } from './vhost-error.js';
import { decodeAs, decodeReply, VhostUserExchange } from './vhost-user-exchange.js';

/** Bits 0 to 7 of the SET_DEVICE_STATE_FD reply say what went wrong. */
const DEVICE_STATE_ERROR_MASK = 0xffn;
/** What QEMU, libvhost-user, DPDK and SPDK send; rust-vmm's struct is packed to 20. */
export const INFLIGHT_BYTES = 24;

/** An inflight area as GET_INFLIGHT_FD answers it and SET_INFLIGHT_FD takes it. */
export interface InflightFd {
  readonly area: Inflight;
  readonly fd: number;
}

export class VhostUserMigration extends VhostUserExchange {
  /** SET_LOG_BASE. With LOG_SHMFD the log is an area of `fd` (its whole file when `base` is an
   *  address) and a reply is due; without it, an address of this process. Replies differ: nothing
   *  (DPDK), the area (rust-vmm), 0 or the area's first word (libvhost-user). */
  async setLogBase(base: bigint | LogArea, fd?: number): Promise<void> {
    if (fd === undefined) {
      if (typeof base !== 'bigint') {
        throw new VhostError('LOG_ADDRESS', 'an area needs the file it is in');
      }
      return this.command('SET_LOG_BASE', { form: 'address', address: base });
    }
    const area =
      typeof base === 'bigint'
        ? { mmapSizeBytes: BigInt(fstatSync(fd).size), mmapOffsetBytes: 0n }
        : base;
    return this.inTurn(async () => {
      this.requireNegotiated('SET_LOG_BASE', VHOST_USER_PROTOCOL_F_LOG_SHMFD);
      const reply = await this.exchange('SET_LOG_BASE', { form: 'area', ...area }, { fds: [fd] });
      reply?.fds.close();
      if (reply?.payload.byteLength === 8) {
        const word = Buffer.from(reply.payload).readBigUInt64LE();
        if (word !== 0n && word !== area.mmapSizeBytes) {
          throw new VhostUserError('PEER_REFUSED', 'SET_LOG_BASE');
        }
      }
    });
  }

  /** SET_LOG_FD: the eventfd to signal after writing to the log. */
  setLogFd(fd: number): Promise<void> {
    return this.command('SET_LOG_FD', undefined, { fds: [fd] });
  }

  /** GET_INFLIGHT_FD (INFLIGHT_SHMFD): the back-end makes an area; its descriptor is the caller's.
   *  Replies of 20 and 24 bytes are taken; `encodedBytes` is for back-ends that take only 20. */
  getInflightFd(
    queueCount: number,
    queueSize: number,
    { encodedBytes = INFLIGHT_BYTES }: { readonly encodedBytes?: 20 | 24 } = {},
  ): Promise<InflightFd> {
    const asked = { mmapSizeBytes: 0n, mmapOffsetBytes: 0n, queueCount, queueSize, encodedBytes };
    return this.inTurn(async () => {
      const reply = await this.questionNow('GET_INFLIGHT_FD', asked);
      try {
        const area = decodeReply('GET_INFLIGHT_FD', reply);
        return { area, fd: takeRequired(reply.fds, 'GET_INFLIGHT_FD') };
      } finally {
        reply.fds.close();
      }
    });
  }

  /** SET_INFLIGHT_FD (INFLIGHT_SHMFD): before any vring starts, and again after a reconnect. The
   *  payload is as long as the reply was that gave the area. */
  setInflightFd({ area, fd }: InflightFd): Promise<void> {
    return this.command('SET_INFLIGHT_FD', area, { fds: [fd] });
  }

  /** SET_DEVICE_STATE_FD (DEVICE_STATE): only while all vrings are stopped. The back-end transfers
   *  through `fd`, or through the descriptor this returns, which is the caller's. */
  setDeviceStateFd(direction: 'save' | 'load', fd: number): Promise<number | undefined> {
    const payload = {
      direction: direction === 'save' ? DEVICE_STATE_DIRECTION_SAVE : DEVICE_STATE_DIRECTION_LOAD,
      phase: DEVICE_STATE_PHASE_STOPPED,
    };
    return this.inTurn(async () => {
      const reply = await this.questionNow('SET_DEVICE_STATE_FD', payload, { fds: [fd] });
      try {
        const word = decodeReply('SET_DEVICE_STATE_FD', reply);
        if ((word & DEVICE_STATE_ERROR_MASK) !== 0n) {
          throw new VhostUserError('PEER_REFUSED', `SET_DEVICE_STATE_FD, error ${word & 0xffn}`);
        }
        // Bit 8 says whether one comes back; the descriptor itself says it better.
        return reply.fds.count > 0 ? reply.fds.take() : undefined;
      } finally {
        reply.fds.close();
      }
    });
  }

  /** CHECK_DEVICE_STATE (DEVICE_STATE): after the end of a transfer; PEER_REFUSED: it failed. */
  checkDeviceState(): Promise<void> {
    return this.command('CHECK_DEVICE_STATE', undefined);
  }

  /** POSTCOPY_ADVISE (PAGEFAULT): the back-end's userfaultfd, which is the caller's. */
  postcopyAdvise(): Promise<number> {
    return this.inTurn(async () => {
      const { fds } = await this.questionNow('POSTCOPY_ADVISE', undefined);
      try {
        return takeRequired(fds, 'POSTCOPY_ADVISE');
      } finally {
        fds.close();
      }
    });
  }

  /** POSTCOPY_LISTEN (PAGEFAULT and REPLY_ACK: libvhost-user answers even unasked). */
  postcopyListen(): Promise<void> {
    return this.inTurn(async () => {
      this.requireNegotiated('POSTCOPY_LISTEN', VHOST_USER_PROTOCOL_F_REPLY_ACK);
      await this.commandNow('POSTCOPY_LISTEN', undefined);
    });
  }

  /** SET_MEM_TABLE after POSTCOPY_LISTEN: the regions as the back-end has mapped them. It touches
   *  none before postcopyAcknowledge(). */
  postcopySetMemTable(regions: readonly MemoryRegionInfo[]): Promise<readonly MemoryRegion[]> {
    const fds = regions.map(({ mmapHandle }) => mmapHandle);
    return this.inTurn(async () => {
      const options = { fds, needReply: false };
      const reply = await this.#postcopyReply('SET_MEM_TABLE', { regions }, options);
      return decodeAs('memTable', 'SET_MEM_TABLE', reply).regions;
    });
  }

  /** ADD_MEM_REG after POSTCOPY_LISTEN (CONFIGURE_MEM_SLOTS): the region as it is mapped there. */
  postcopyAddMemRegion(region: MemoryRegion, fd: number): Promise<MemoryRegion> {
    return this.inTurn(async () => {
      const options = { fds: [fd], needReply: false };
      const reply = await this.#postcopyReply('ADD_MEM_REG', region, options);
      return decodeAs('singleRegion', 'ADD_MEM_REG', reply);
    });
  }

  /** Tells the back-end that its addresses are known and faults will be served: the request that
   *  was last used, with eight zero bytes. No reply follows. */
  postcopyAcknowledge(by: 'SET_MEM_TABLE' | 'ADD_MEM_REG'): Promise<void> {
    return this.inTurn(async () => {
      this.requireNegotiated(by, VHOST_USER_PROTOCOL_F_PAGEFAULT);
      const { id } = frontendRequest(by);
      this.connection.send(encodeRequest(id, new Uint8Array(8), { needReply: false }));
    });
  }

  /** POSTCOPY_END (PAGEFAULT): the back-end has closed its userfaultfd. */
  postcopyEnd(): Promise<void> {
    return this.command('POSTCOPY_END', undefined);
  }

  /** Reply, decoded, for a caller that has the turn. */
  protected async answerNow<N extends FrontendRequestName>(
    name: N,
    payload: PayloadOf<N>,
  ): Promise<ReplyOf<N>> {
    const reply = await this.questionNow(name, payload);
    reply.fds.close();
    return decodeReply(name, reply);
  }

  async #postcopyReply<N extends 'SET_MEM_TABLE' | 'ADD_MEM_REG'>(
    name: N,
    payload: PayloadOf<N>,
    options: { readonly fds: readonly number[]; readonly needReply: boolean },
  ) {
    this.requireNegotiated(name, VHOST_USER_PROTOCOL_F_PAGEFAULT);
    const reply = await this.questionNow(name, payload, options);
    reply.fds.close();
    return reply;
  }
}

/** The one descriptor of a reply, now the caller's. */
function takeRequired(fds: FdBag, name: FrontendRequestName): number {
  if (fds.count === 0) {
    throw new VhostUserError('PEER_REFUSED', `${name} without a descriptor`);
  }
  return fds.take();
}
