// A load whose every answer is checked. Each slot owns one block of the disk and has one request under
// way at most, so what the block must hold is known at any moment, whoever served the requests.

import {
  BLK_FLUSH,
  BLK_IN,
  BLK_OUT,
  BLK_WRITE_ZEROES,
  STATUS_OK,
} from '../../src/testing/index.js';
import type { LastingGuest } from './lasting-guest.js';

export const BLOCK_BYTES = 4096;
const SECTORS_PER_BLOCK = BLOCK_BYTES / 512;
/** The ones before it are for others: nobody else may write to the load's. */
const FIRST_BLOCK = 16;
const HEADER_BYTES = 16;
const STATUS_UNWRITTEN = 0xee;
/** What a block holds that was never written, or zeroed. */
const ZERO = 0;

type Kind = 'read' | 'write' | 'flush' | 'zeroes';

interface Slot {
  readonly block: number;
  readonly queueIndex: number;
  readonly header: number;
  readonly data: number;
  readonly status: number;
  /** Version the block holds once the request under way has ended. */
  version: number;
  kind: Kind;
}

export class BlkLoad {
  readonly #guest: LastingGuest;
  readonly #random: () => number;
  readonly #free: Slot[] = [];
  /** By queue and head. */
  readonly #busy = new Map<string, Slot>();
  readonly #expected = new Uint32Array(BLOCK_BYTES / 4);
  readonly faults: string[] = [];
  submitted = 0;
  completed = 0;

  constructor(guest: LastingGuest, slotsPerQueue: number, random: () => number) {
    this.#guest = guest;
    this.#random = random;
    const { memory } = guest;
    for (const { index } of guest.queues) {
      for (let i = 0; i < slotsPerQueue; i++) {
        this.#free.push({
          block: FIRST_BLOCK + index * slotsPerQueue + i,
          queueIndex: index,
          header: memory.allocate(HEADER_BYTES),
          data: memory.allocate(BLOCK_BYTES, BLOCK_BYTES),
          status: memory.allocate(1, 1),
          version: ZERO,
          kind: 'read',
        });
      }
    }
  }

  get outstanding(): number {
    return this.#busy.size;
  }

  /** Takes what came back and puts something new into every free slot. */
  pump(): void {
    this.collect();
    const idle = this.#free.splice(0);
    for (const slot of idle) {
      this.#submit(slot, this.#pick());
    }
    this.#publish();
  }

  /** Reads every block once more; all slots must be free. */
  readAll(): void {
    for (const slot of this.#free.splice(0)) {
      this.#submit(slot, 'read');
    }
    this.#publish();
  }

  #publish(): void {
    for (const queue of this.#guest.queues) {
      if (queue.driver.publish()) {
        queue.kick();
      }
    }
  }

  collect(): void {
    for (const { index, driver } of this.#guest.queues) {
      for (const { id, length } of driver.takeUsed()) {
        const key = `${index}/${id}`;
        const slot = this.#busy.get(key);
        if (slot === undefined) {
          this.faults.push(`head ${key} came back though nobody waits for it`);
          continue;
        }
        this.#busy.delete(key);
        this.completed++;
        this.#check(slot, length);
        this.#free.push(slot);
      }
    }
  }

  #pick(): Kind {
    const dice = this.#random();
    return dice < 0.55 ? 'write' : dice < 0.9 ? 'read' : dice < 0.95 ? 'flush' : 'zeroes';
  }

  #submit(slot: Slot, kind: Kind): void {
    const { memory, queues } = this.#guest;
    const { header, data, status } = slot;
    const sector = BigInt(slot.block * SECTORS_PER_BLOCK);
    const type = { read: BLK_IN, write: BLK_OUT, flush: BLK_FLUSH, zeroes: BLK_WRITE_ZEROES }[kind];
    memory.view.setUint32(header, type, true);
    memory.view.setBigUint64(header + 8, kind === 'read' || kind === 'write' ? sector : 0n, true);
    memory.bytes[status] = STATUS_UNWRITTEN;
    slot.kind = kind;
    let dataBytes = 0;
    if (kind === 'write') {
      slot.version = this.submitted + 1;
      memory.bytes.set(this.#content(slot), data);
      dataBytes = BLOCK_BYTES;
    } else if (kind === 'zeroes') {
      slot.version = ZERO;
      memory.view.setBigUint64(data, sector, true);
      memory.view.setUint32(data + 8, SECTORS_PER_BLOCK, true);
      memory.view.setUint32(data + 12, 0, true);
      dataBytes = 16;
    } else if (kind === 'read') {
      memory.bytes.fill(0xcd, data, data + BLOCK_BYTES);
      dataBytes = BLOCK_BYTES;
    }
    const middle = { offset: data, bytes: dataBytes, writable: kind === 'read' };
    const head = queues[slot.queueIndex]?.driver.add([
      { offset: header, bytes: HEADER_BYTES, writable: false },
      ...(dataBytes > 0 ? [middle] : []),
      { offset: status, bytes: 1, writable: true },
    ]);
    this.#busy.set(`${slot.queueIndex}/${head}`, slot);
    this.submitted++;
  }

  #check(slot: Slot, length: number): void {
    const { memory } = this.#guest;
    const what = `${slot.kind} of block ${slot.block}, version ${slot.version}`;
    if (memory.bytes[slot.status] !== STATUS_OK) {
      this.faults.push(`${what}: status ${memory.bytes[slot.status]}`);
    }
    const read = slot.kind === 'read';
    if (length !== (read ? BLOCK_BYTES + 1 : 1)) {
      this.faults.push(`${what}: used length ${length}`);
    }
    const got = memory.bytes.subarray(slot.data, slot.data + BLOCK_BYTES);
    if (read && Buffer.compare(got, this.#content(slot)) !== 0) {
      this.faults.push(`${what}: the disk holds version ${memory.view.getUint32(slot.data, true)}`);
    }
  }

  /** Different in every version and block; the first word is the version. */
  #content({ block, version }: Slot): Uint8Array {
    const words = this.#expected;
    if (version === ZERO) {
      words.fill(0);
    } else {
      for (let i = 0; i < words.length; i++) {
        words[i] = version + Math.imul(i, block * 2 + 1);
      }
    }
    return new Uint8Array(words.buffer);
  }
}
