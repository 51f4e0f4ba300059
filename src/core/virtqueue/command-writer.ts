// Commands for the data plane: what a handler decided. Written into the table native code reads at
// the next turn; no object and no call for each.

import { exchange } from '../../native/index.js';

const {
  COMMANDS_MAX,
  COMMAND_CAPTURE,
  COMMAND_CHAIN,
  COMMAND_CHAIN_OFFSET,
  COMMAND_CODE,
  COMMAND_FILE,
  COMMAND_FLAGS,
  COMMAND_HASH,
  COMMAND_LENGTH,
  COMMAND_MODE,
  COMMAND_OFFSET,
  COMMAND_TAG,
  COMMAND_TAIL_BYTE,
  COMMAND_TAIL_OFFSET,
  COMMAND_USED_LENGTH,
  FLAG_COMPLETE,
  FLAG_FILTER,
  FLAG_HASH,
  FLAG_NOTIFY,
  FLAG_PREFIX,
  FLAG_TAIL,
  NO_CHAIN,
  OP_ALLOCATE,
  OP_COMPLETE,
  OP_COMPLETE_LIST,
  OP_COPY,
  OP_COPY_FRAME,
  OP_RECEIVE_FRAMES,
  OP_SEND,
  OP_SYNC,
  OP_UNPOP,
  OP_WRITE_ZEROS,
  RECORD_WORDS,
  TAIL_LAST,
} = exchange;

export class CommandWriter {
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  #count = 0;
  /** Full tables that wait for their turn; seldom: a turn hands out less than a table holds. */
  #spilled: Uint32Array[] = [];

  constructor(tables: exchange.Exchange) {
    this.#words = tables.commands;
    this.#doubles = tables.commandDoubles;
  }

  /**
   * Moves bytes between a file and the data part of a chain, then writes `tailByte` as the last
   * byte of the writable part and completes the chain with `usedBytes`. A failure comes back as a
   * completion with `tag`, the chain still open.
   *
   * @param code OP_READ (file to chain) or OP_WRITE
   * @param flags FLAG_DURABLE or 0
   */
  transfer(
    code: number,
    chain: number,
    flags: number,
    file: number,
    fileOffset: number,
    bytes: number,
    chainOffset: number,
    tailByte: number,
    usedBytes: number,
    tag: number,
  ): void {
    const at = this.#next();
    const words = this.#words;
    words[at + COMMAND_CODE] = code;
    words[at + COMMAND_CHAIN] = chain;
    words[at + COMMAND_FLAGS] = flags | FLAG_COMPLETE | FLAG_TAIL;
    words[at + COMMAND_FILE] = file;
    words[at + COMMAND_CHAIN_OFFSET] = chainOffset;
    words[at + COMMAND_TAIL_OFFSET] = TAIL_LAST;
    words[at + COMMAND_TAIL_BYTE] = tailByte;
    words[at + COMMAND_USED_LENGTH] = usedBytes;
    words[at + COMMAND_TAG] = tag;
    this.#doubles[(at + COMMAND_OFFSET) >> 1] = fileOffset;
    this.#doubles[(at + COMMAND_LENGTH) >> 1] = bytes;
  }

  /**
   * One attempt to move up to `bytes` between a descriptor and the data part of a chain (or, with
   * FLAG_ARENA, the arena from `chainOffset` on). It is over within the next turn: a completion
   * with `tag` carries the bytes that moved or -errno, unless FLAG_COMPLETE asked to complete the
   * chain (with `usedBytes`, FLAG_ADD_BYTES: and what moved) and all was sent, or anything came.
   *
   * @param code OP_SEND or OP_RECEIVE
   * @param flags FLAG_SOCKET, FLAG_MESSAGE, FLAG_ARENA, FLAG_COMPLETE, FLAG_ADD_BYTES, FLAG_NOTIFY
   */
  move(
    code: number,
    chain: number,
    flags: number,
    fd: number,
    bytes: number,
    chainOffset: number,
    usedBytes: number,
    tag: number,
  ): void {
    const at = this.#next();
    const words = this.#words;
    words[at + COMMAND_CODE] = code;
    words[at + COMMAND_CHAIN] = chain;
    words[at + COMMAND_FLAGS] = flags;
    words[at + COMMAND_FILE] = fd;
    words[at + COMMAND_CHAIN_OFFSET] = chainOffset;
    words[at + COMMAND_USED_LENGTH] = usedBytes;
    words[at + COMMAND_TAG] = tag;
    this.#doubles[(at + COMMAND_LENGTH) >> 1] = bytes;
  }

  /** Sends `prefixBytes` of the arena, then the readable part of a chain from `chainOffset` on, and
   *  completes the chain; one attempt, as `move`. */
  sendPrefixed(
    chain: number,
    flags: number,
    fd: number,
    prefixOffset: number,
    prefixBytes: number,
    chainOffset: number,
    bytes: number,
    tag: number,
  ): void {
    const at = this.#next();
    const words = this.#words;
    words[at + COMMAND_CODE] = OP_SEND;
    words[at + COMMAND_CHAIN] = chain;
    words[at + COMMAND_FLAGS] = flags | FLAG_PREFIX | FLAG_COMPLETE;
    words[at + COMMAND_FILE] = fd;
    words[at + COMMAND_CHAIN_OFFSET] = chainOffset;
    words[at + COMMAND_TAIL_OFFSET] = prefixOffset;
    words[at + COMMAND_TAIL_BYTE] = prefixBytes;
    words[at + COMMAND_USED_LENGTH] = 0;
    words[at + COMMAND_TAG] = tag;
    this.#doubles[(at + COMMAND_LENGTH) >> 1] = bytes;
  }

  /**
   * Receives frames into chains that wait for them, `listCount` numbers (32 bits) in the arena from
   * `listOffset` on, and completes those that are used, in order. A completion with `tag` and no
   * chain says how it ended (0: there may be more; -EAGAIN: not now), the arena's words at
   * `reportOffset` what was done. Until then the list must stay as it is.
   *
   * With FLAG_STEER the list is one of lists: for each queue where its list is, and its length;
   * and the arena gets as many reports.
   *
   * @param flags FLAG_SOCKET (frames without header), FLAG_MERGE, FLAG_STEER
   * @param filterOffset of a table in the arena that says which frames the driver wants
   *   (native/core/frame-filter.h); undefined: all
   * @param hashOffset of a table in the arena that says what the header and FLAG_STEER go by
   *   (native/core/frame-hash.h); undefined: frames have no hash
   * @param capture tag under which frames are shown (HandlerContext.capture); 0: they are not
   */
  receiveFrames(
    fd: number,
    flags: number,
    listOffset: number,
    listCount: number,
    reportOffset: number,
    headerBytes: number,
    framesMax: number,
    bytesMax: number,
    filterOffset: number | undefined,
    hashOffset: number | undefined,
    tag: number,
    capture = 0,
  ): void {
    const at = this.#next();
    const words = this.#words;
    words[at + COMMAND_CODE] = OP_RECEIVE_FRAMES;
    words[at + COMMAND_CHAIN] = NO_CHAIN;
    const filters = filterOffset === undefined ? 0 : FLAG_FILTER;
    const hashes = hashOffset === undefined ? 0 : FLAG_HASH;
    words[at + COMMAND_FLAGS] = flags | filters | hashes;
    words[at + COMMAND_FILE] = fd;
    words[at + COMMAND_CHAIN_OFFSET] = listOffset;
    words[at + COMMAND_TAIL_OFFSET] = reportOffset;
    words[at + COMMAND_TAIL_BYTE] = headerBytes;
    words[at + COMMAND_USED_LENGTH] = listCount;
    words[at + COMMAND_TAG] = tag;
    words[at + COMMAND_MODE] = framesMax;
    this.#doubles[(at + COMMAND_OFFSET) >> 1] = filterOffset ?? 0;
    words[at + COMMAND_HASH] = hashOffset ?? 0;
    words[at + COMMAND_CAPTURE] = capture;
    this.#doubles[(at + COMMAND_LENGTH) >> 1] = bytesMax;
  }

  /**
   * Copies one frame into chains that have room for it and completes them: `prefixBytes` of the
   * arena, then `bytes` of the readable part of `chain` (or NO_CHAIN) from `chainOffset` on.
   *
   * @param flags FLAG_COMPLETE: `chain` is completed too, or 0
   * @param targets the chain if targetCount is 1, else where the arena has their numbers
   */
  copyFrame(
    chain: number,
    flags: number,
    chainOffset: number,
    bytes: number,
    prefixOffset: number,
    prefixBytes: number,
    targets: number,
    targetCount: number,
  ): void {
    const at = this.#next();
    const words = this.#words;
    words[at + COMMAND_CODE] = OP_COPY_FRAME;
    words[at + COMMAND_CHAIN] = chain;
    words[at + COMMAND_FLAGS] = flags;
    words[at + COMMAND_FILE] = targets;
    words[at + COMMAND_CHAIN_OFFSET] = chainOffset;
    words[at + COMMAND_TAIL_OFFSET] = prefixOffset;
    words[at + COMMAND_TAIL_BYTE] = prefixBytes;
    words[at + COMMAND_USED_LENGTH] = targetCount;
    this.#doubles[(at + COMMAND_LENGTH) >> 1] = bytes;
  }

  /** Puts a chain nobody has touched back into the ring: the last one popped of those in flight,
   *  so several go back in the reverse of their order. */
  unpop(chain: number): void {
    const at = this.#next();
    this.#words[at + COMMAND_CODE] = OP_UNPOP;
    this.#words[at + COMMAND_CHAIN] = chain;
  }

  /** Copies `bytes` from the readable part of one chain into the writable part of another; both
   *  stay open. A completion of `from` with `tag` tells only of a copy that came out shorter. */
  copy(
    from: number,
    fromOffset: number,
    to: number,
    toOffset: number,
    bytes: number,
    tag: number,
  ): void {
    const at = this.#next();
    const words = this.#words;
    words[at + COMMAND_CODE] = OP_COPY;
    words[at + COMMAND_CHAIN] = from;
    words[at + COMMAND_FLAGS] = 0;
    words[at + COMMAND_FILE] = to;
    words[at + COMMAND_CHAIN_OFFSET] = fromOffset;
    words[at + COMMAND_TAIL_OFFSET] = toOffset;
    words[at + COMMAND_TAG] = tag;
    this.#doubles[(at + COMMAND_LENGTH) >> 1] = bytes;
  }

  /** Gives the chain back to the driver with `tailByte` as the last byte of its writable part. */
  completeWithTail(chain: number, tailByte: number, usedBytes: number): void {
    const at = this.#next();
    const words = this.#words;
    words[at + COMMAND_CODE] = OP_COMPLETE;
    words[at + COMMAND_CHAIN] = chain;
    words[at + COMMAND_FLAGS] = FLAG_TAIL;
    words[at + COMMAND_TAIL_OFFSET] = TAIL_LAST;
    words[at + COMMAND_TAIL_BYTE] = tailByte;
    words[at + COMMAND_USED_LENGTH] = usedBytes;
  }

  /** Gives the chain back to the driver. */
  complete(chain: number, usedBytes: number): void {
    const at = this.#next();
    this.#words[at + COMMAND_CODE] = OP_COMPLETE;
    this.#words[at + COMMAND_CHAIN] = chain;
    this.#words[at + COMMAND_FLAGS] = 0;
    this.#words[at + COMMAND_USED_LENGTH] = usedBytes;
  }

  /** Gives chains back in which nothing was written: `count` numbers (32 bits) in the arena from
   *  `listOffset` on. Until the next turn the list must stay as it is. */
  completeList(listOffset: number, count: number): void {
    const at = this.#next();
    this.#words[at + COMMAND_CODE] = OP_COMPLETE_LIST;
    this.#words[at + COMMAND_CHAIN] = NO_CHAIN;
    this.#words[at + COMMAND_CHAIN_OFFSET] = listOffset;
    this.#words[at + COMMAND_USED_LENGTH] = count;
    this.#words[at + COMMAND_TAG] = 0;
  }

  /** fdatasync; its completion carries `tag` and no chain. */
  sync(file: number, tag: number): void {
    this.#plain(OP_SYNC, file, 0, 0, tag, 0, 0);
  }

  /** fallocate(mode); its completion carries `tag` and no chain. */
  allocate(file: number, offset: number, bytes: number, mode: number, tag: number): void {
    this.#plain(OP_ALLOCATE, file, offset, bytes, tag, mode, 0);
  }

  /** Writes zeroes the long way; its completion carries `tag` and no chain. */
  writeZeros(file: number, offset: number, bytes: number, flags: number, tag: number): void {
    this.#plain(OP_WRITE_ZEROS, file, offset, bytes, tag, 0, flags);
  }

  /** For the worker: the commands of the next turn are in the table; how many. */
  take(): number {
    const spilled = this.#spilled.shift();
    if (spilled !== undefined) {
      // The table in hand comes after the spilled ones.
      if (this.#count > 0) {
        this.#spilled.push(this.#words.slice(0, this.#count * RECORD_WORDS));
      }
      this.#words.set(spilled);
      this.#count = 0;
      return spilled.length / RECORD_WORDS;
    }
    const count = this.#count;
    this.#count = 0;
    return count;
  }

  /** True when another take() has commands. */
  get pending(): boolean {
    return this.#spilled.length > 0 || this.#count > 0;
  }

  #plain(
    code: number,
    file: number,
    offset: number,
    bytes: number,
    tag: number,
    mode: number,
    flags: number,
  ): void {
    const at = this.#next();
    const words = this.#words;
    words[at + COMMAND_CODE] = code;
    words[at + COMMAND_CHAIN] = NO_CHAIN;
    words[at + COMMAND_FLAGS] = flags | FLAG_NOTIFY;
    words[at + COMMAND_FILE] = file;
    words[at + COMMAND_TAG] = tag;
    words[at + COMMAND_MODE] = mode;
    this.#doubles[(at + COMMAND_OFFSET) >> 1] = offset;
    this.#doubles[(at + COMMAND_LENGTH) >> 1] = bytes;
  }

  #next(): number {
    if (this.#count === COMMANDS_MAX) {
      this.#spilled.push(this.#words.slice());
      this.#count = 0;
    }
    return this.#count++ * RECORD_WORDS;
  }
}
