// A driver for any device: offers chains of bytes and takes what comes back.

import type { TestFrontend, TestQueue } from './test-frontend.js';

/** A chain that came back. */
export interface ReturnedChain {
  /** Used length, in bytes. */
  readonly usedBytes: number;
  /** The whole device-writable part as it is now; beyond the used length nothing is promised. */
  readonly bytes: Uint8Array;
}

/** A chain on its way. */
export interface OfferedChain {
  readonly queue: number;
  readonly head: number;
  readonly writableOffset: number;
  readonly writableBytes: number;
  /** Undefined until it is back. */
  usedBytes: number | undefined;
}

export interface ChainShape {
  /** Cuts either part into buffers of this many bytes. */
  readonly pieceBytes?: number;
  readonly indirect?: boolean;
}

/** What the writable part holds before the device writes. */
export const UNWRITTEN = 0xcd;

export class ChainDriver {
  readonly frontend: TestFrontend;
  readonly #pending = new Map<string, OfferedChain>();

  constructor(frontend: TestFrontend) {
    this.frontend = frontend;
  }

  /** Offers a chain and waits for it. */
  async send(
    queue: number,
    readable: Uint8Array,
    writableBytes: number,
    shape: ChainShape = {},
  ): Promise<ReturnedChain> {
    return await this.returned(this.offer(queue, readable, writableBytes, shape));
  }

  /** Offers a chain and kicks if the device wants it. */
  offer(
    queue: number,
    readable: Uint8Array,
    writableBytes: number,
    { pieceBytes = Number.POSITIVE_INFINITY, indirect = false }: ChainShape = {},
  ): OfferedChain {
    const { memory } = this.frontend;
    const { driver } = this.frontend.queue(queue);
    if (readable.byteLength + writableBytes === 0) {
      throw new RangeError('a chain has at least one byte');
    }
    const readableOffset = memory.allocate(readable.byteLength);
    memory.bytes.set(readable, readableOffset);
    const writableOffset = memory.allocate(writableBytes);
    memory.bytes.fill(UNWRITTEN, writableOffset, writableOffset + writableBytes);
    const buffers = [
      ...pieces(readableOffset, readable.byteLength, false, pieceBytes),
      ...pieces(writableOffset, writableBytes, true, pieceBytes),
    ];
    const head = driver.add(buffers, { indirect });
    const offered = { queue, head, writableOffset, writableBytes, usedBytes: undefined };
    this.#pending.set(`${queue}/${head}`, offered);
    if (driver.publish()) {
      this.frontend.queue(queue).kick();
    }
    return offered;
  }

  /** Waits for a chain; one wait at a time on each queue. Throws after 20 s. */
  async returned(offered: OfferedChain): Promise<ReturnedChain> {
    const queue = this.frontend.queue(offered.queue);
    for (;;) {
      this.#take(queue);
      if (offered.usedBytes !== undefined) {
        return this.#result(offered, offered.usedBytes);
      }
      // takeUsed has just asked for an interrupt; look again before waiting for it.
      if (!queue.driver.hasUsed && !(await queue.signalled(queue.callFd))) {
        throw new Error(`queue ${queue.index}: chain ${offered.head} did not come back`);
      }
    }
  }

  /** Chains that have not come back, after a look at every ring. */
  get pending(): number {
    for (const queue of this.frontend.queues) {
      this.#take(queue);
    }
    return this.#pending.size;
  }

  #take({ index, driver }: TestQueue): void {
    for (const { id, length } of driver.takeUsed()) {
      const key = `${index}/${id}`;
      const offered = this.#pending.get(key);
      if (offered === undefined) {
        throw new Error(`queue ${index}: chain ${id} came back twice or was never offered`);
      }
      offered.usedBytes = length;
      this.#pending.delete(key);
    }
  }

  #result({ writableOffset, writableBytes }: OfferedChain, usedBytes: number): ReturnedChain {
    const end = writableOffset + writableBytes;
    return { usedBytes, bytes: this.frontend.memory.bytes.slice(writableOffset, end) };
  }
}

function pieces(offset: number, bytes: number, writable: boolean, pieceBytes: number) {
  const cut = [];
  for (let at = 0; at < bytes; at += pieceBytes) {
    cut.push({ offset: offset + at, bytes: Math.min(pieceBytes, bytes - at), writable });
  }
  return cut;
}
