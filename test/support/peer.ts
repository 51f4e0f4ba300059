// The other end of a vhost-user socket, byte by byte, with nothing of the code under test but the
// codec: it can send what no front-end of ours would.

import { HEADER_BYTES } from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { until } from './resources.js';

export class Peer {
  readonly fd: number;
  /** Descriptors that came, for `takeFd`; only with `keepFds`, else they are closed at once. */
  readonly #fds: number[] = [];
  readonly #keepFds: boolean;
  #received = new Uint8Array(0);
  #ended = false;
  #open = true;

  constructor(fd: number, { keepFds = false }: { readonly keepFds?: boolean } = {}) {
    this.fd = fd;
    this.#keepFds = keepFds;
  }

  /** Sends all bytes with one call; the descriptors stay the caller's. */
  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    const sent = this.trySend(bytes, fds);
    if (sent !== bytes.byteLength) {
      throw new Error(`sent ${sent} of ${bytes.byteLength}`);
    }
  }

  trySend(bytes: Uint8Array, fds: readonly number[] = []): number {
    const table = Int32Array.from(fds);
    return native.socketSend(this.fd, bytes, 0, bytes.byteLength, table, table.length);
  }

  /** The next message in full, or undefined at the end of the stream. */
  async message(): Promise<Uint8Array | undefined> {
    await until('a message', () => this.#whole() !== undefined || this.#ended);
    const length = this.#whole();
    if (length === undefined) {
      return undefined;
    }
    const message = this.#received.slice(0, length);
    this.#received = this.#received.slice(length);
    return message;
  }

  /** The first descriptor that came and was not taken yet, now the caller's. */
  takeFd(): number | undefined {
    return this.#fds.shift();
  }

  /** Messages that are there now, after time for one to arrive. */
  async quiet(ms = 20): Promise<boolean> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return this.#whole() === undefined && !this.#ended;
  }

  async ended(): Promise<boolean> {
    await until('the end of the stream', () => this.#whole() !== undefined || this.#ended);
    return this.#received.byteLength === 0 && this.#ended;
  }

  close(): void {
    if (this.#open) {
      this.#open = false;
      native.fdClose(this.fd);
      this.#fds.splice(0).map((fd) => native.fdClose(fd));
    }
  }

  /** Length of the first message once it is here as a whole. */
  #whole(): number | undefined {
    this.#pull();
    if (this.#received.byteLength < HEADER_BYTES) {
      return undefined;
    }
    const view = new DataView(this.#received.buffer, this.#received.byteOffset);
    const length = HEADER_BYTES + view.getUint32(8, true);
    return this.#received.byteLength >= length ? length : undefined;
  }

  #pull(): void {
    const buffer = new Uint8Array(65536);
    const fds = new Int32Array(2 + 16);
    while (this.#open && !this.#ended) {
      const got = native.socketReceive(this.fd, buffer, 0, buffer.byteLength, fds);
      for (const fd of fds.subarray(2, 2 + (fds[0] as number))) {
        if (this.#keepFds) {
          this.#fds.push(fd);
        } else {
          native.fdClose(fd);
        }
      }
      if (got > 0) {
        this.#received = Uint8Array.from([...this.#received, ...buffer.subarray(0, got)]);
      } else {
        // A reset is an end too: the other side closed with our bytes unread.
        this.#ended ||= got === 0 || got === -104;
        return;
      }
    }
  }
}
