// A virtio-net driver for tests: real frames over a TestFrontend, merged receive chains included.

import { hasFeature } from '../core/protocol/index.js';
import { ChainDriver, type ChainShape, type OfferedChain } from './chain-driver.js';
import type { TestFrontend } from './test-frontend.js';

export const NET_HEADER_BYTES = 12;
/** With VIRTIO_NET_F_HASH_REPORT. */
export const NET_HASH_HEADER_BYTES = 20;
const NUM_BUFFERS_OFFSET = 10;
const VIRTIO_NET_F_HASH_REPORT = 1n << 57n;

/** A frame the device delivered. */
export interface ReceivedFrame {
  readonly header: Uint8Array;
  readonly frame: Uint8Array;
  /** Chains it came in. */
  readonly chains: number;
}

export interface TransmitOptions extends ChainShape {
  readonly pair?: number;
  /** Its first bytes; zeroes by default. */
  readonly header?: Uint8Array;
}

export class NetDriver {
  readonly chains: ChainDriver;
  /** Receive chains by pair, in the order of posting. */
  readonly #posted = new Map<number, OfferedChain[]>();

  constructor(frontend: TestFrontend) {
    this.chains = new ChainDriver(frontend);
  }

  get headerBytes(): number {
    const hashes = hasFeature(this.chains.frontend.features, VIRTIO_NET_F_HASH_REPORT);
    return hashes ? NET_HASH_HEADER_BYTES : NET_HEADER_BYTES;
  }

  /** Sends a frame and waits until the device has given the chain back; its used length. */
  async transmit(frame: Uint8Array, options: TransmitOptions = {}): Promise<number> {
    const { pair = 0, header = new Uint8Array(0), ...shape } = options;
    const bytes = new Uint8Array(this.headerBytes + frame.byteLength);
    bytes.set(header);
    bytes.set(frame, this.headerBytes);
    return (await this.chains.send(2 * pair + 1, bytes, 0, shape)).usedBytes;
  }

  /** Gives a command to the control queue, the last queue of the front-end; 0 when the card has
   *  done it. Throws when it does not answer with one byte. */
  async control(command: readonly [kind: number, number: number], data: Iterable<number>) {
    const queue = this.chains.frontend.queues.length - 1;
    const bytes = Uint8Array.from([...command, ...data]);
    const answer = await this.chains.send(queue, bytes, 1);
    if (answer.usedBytes !== 1) {
      throw new Error(`control command ${command}: ${answer.usedBytes} bytes used`);
    }
    return answer.bytes[0] as number;
  }

  /** Posts receive chains. */
  post(count: number, bytes: number, pair = 0, shape: ChainShape = {}): void {
    const posted = this.#posted.get(pair) ?? [];
    this.#posted.set(pair, posted);
    for (let i = 0; i < count; i++) {
      posted.push(this.chains.offer(2 * pair, new Uint8Array(0), bytes, shape));
    }
  }

  /** The next frame. Throws when none comes in 20 s, and when the chains do not belong together. */
  async receive(pair = 0): Promise<ReceivedFrame> {
    const first = await this.#next(pair);
    const header = first.slice(0, this.headerBytes);
    const chains = new DataView(header.buffer).getUint16(NUM_BUFFERS_OFFSET, true);
    const parts = [first.subarray(this.headerBytes)];
    while (parts.length < chains) {
      // Merged chains are published together: none of them may have to be waited for.
      parts.push(await this.#next(pair, 'at once'));
    }
    return { header, frame: Buffer.concat(parts), chains };
  }

  /** Receive chains that wait, after a look at the ring. */
  waiting(pair = 0): number {
    void this.chains.pending;
    return (this.#posted.get(pair) ?? []).filter(({ usedBytes }) => usedBytes === undefined).length;
  }

  async #next(pair: number, when?: 'at once'): Promise<Uint8Array> {
    const offered = this.#posted.get(pair)?.shift();
    if (offered === undefined) {
      throw new Error(`pair ${pair}: no receive chain is posted`);
    }
    if (when === 'at once' && offered.usedBytes === undefined) {
      throw new Error(`pair ${pair}: a merged chain came later than the first`);
    }
    const { bytes, usedBytes } = await this.chains.returned(offered);
    return bytes.subarray(0, usedBytes);
  }
}
