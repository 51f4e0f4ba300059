// What the control half and every data half of one disk must agree on at once: write cache mode,
// the fsync failure that can't be taken back, capacity. Shared memory, not messages: a write that
// is decided after SET_CONFIG was answered must see the new mode.

const WRITEBACK = 0;
const FAILED = 1;
const CAPACITY = 1; // in 64-bit words
const BYTES = 16;

export class SharedState {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #longs: BigUint64Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, 2);
    this.#longs = new BigUint64Array(buffer);
  }

  /** False: every write is on stable storage before it completes. */
  get writeback(): boolean {
    return Atomics.load(this.#words, WRITEBACK) === 1;
  }

  set writeback(value: boolean) {
    Atomics.store(this.#words, WRITEBACK, value ? 1 : 0);
  }

  /** True after an fsync failed: the kernel reports it once and forgets the dirty pages, so nothing
   *  written since the last good flush can be promised any more (BK-026). */
  get failed(): boolean {
    return Atomics.load(this.#words, FAILED) === 1;
  }

  fail(): void {
    Atomics.store(this.#words, FAILED, 1);
  }

  get capacitySectors(): number {
    return Number(Atomics.load(this.#longs, CAPACITY));
  }

  set capacitySectors(sectors: number) {
    Atomics.store(this.#longs, CAPACITY, BigInt(sectors));
  }
}
