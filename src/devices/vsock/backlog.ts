// What the host did not take at once: the bytes of one connection in one piece, and a pool of
// buffers that bounds what all connections together may hold.

/** Twice what a connection may hold: bytes are moved to the front once for each buffer full. */
const SLACK = 2;

export class BacklogPool {
  readonly #bytes: number;
  readonly #max: number;
  readonly #free: Uint8Array[] = [];
  #lent = 0;

  /** Room for `bytes` in each of `max` connections. */
  constructor(bytes: number, max: number) {
    this.#bytes = bytes;
    this.#max = max;
  }

  get lent(): number {
    return this.#lent;
  }

  take(): Uint8Array | undefined {
    if (this.#lent === this.#max) {
      return undefined;
    }
    this.#lent++;
    return this.#free.pop() ?? new Uint8Array(SLACK * this.#bytes);
  }

  /** Keeps as many as are lent: memory follows the load down. */
  give(buffer: Uint8Array): void {
    this.#lent--;
    if (this.#free.length <= this.#lent) {
      this.#free.push(buffer);
    }
  }
}

const NOTHING = new Uint8Array(0);

export class Backlog {
  readonly #pool: BacklogPool;
  #buffer: Uint8Array | undefined;
  #head = 0;
  #bytes = 0;

  constructor(pool: BacklogPool) {
    this.#pool = pool;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Where the bytes are: `head` to `head + bytes`. */
  get buffer(): Uint8Array {
    return this.#buffer ?? NOTHING;
  }

  get head(): number {
    return this.#head;
  }

  /** Room at the end, for the caller to fill; undefined when the pool has no more. */
  append(bytes: number): Uint8Array | undefined {
    this.#buffer ??= this.#pool.take();
    const buffer = this.#buffer;
    if (buffer === undefined || this.#bytes + bytes > buffer.byteLength) {
      return undefined;
    }
    if (this.#head + this.#bytes + bytes > buffer.byteLength) {
      buffer.copyWithin(0, this.#head, this.#head + this.#bytes);
      this.#head = 0;
    }
    const at = this.#head + this.#bytes;
    this.#bytes += bytes;
    return buffer.subarray(at, at + bytes);
  }

  /** Takes bytes off the front. */
  shift(bytes: number): void {
    this.#head += bytes;
    this.#bytes -= bytes;
    if (this.#bytes === 0) {
      this.clear();
    }
  }

  clear(): void {
    if (this.#buffer !== undefined) {
      this.#pool.give(this.#buffer);
      this.#buffer = undefined;
    }
    this.#head = this.#bytes = 0;
  }
}
