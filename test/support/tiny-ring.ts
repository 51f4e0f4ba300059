// The driver's side of one split virtqueue in 64 KiB of shared memory, written by hand so that it
// shares no code with what it tests (VIRTIO 1.3 §2.7).

import { GuestMemory, type RegionDescription } from '../../src/core/memory/guest-memory.js';
import type { VringStart } from '../../src/core/worker/commands.js';
import { native } from '../../src/native/index.js';
import { eventfd, memfd } from './resources.js';

export const MEMORY_BYTES = 65536;
export const GUEST_BASE = 0x10000n;
export const USER_BASE = 0x7000_0000n;
const DESCRIPTORS_AT = 0;
const AVAILABLE_AT = 0x1000;
const USED_AT = 0x2000;
const DATA_AT = 0x3000;

const NEXT = 1;
const WRITE = 2;

export class TinyRing {
  readonly fd = memfd(MEMORY_BYTES);
  readonly region: RegionDescription & { readonly fd: number };
  readonly kickFd = eventfd();
  readonly callFd = eventfd();
  readonly errFd = eventfd();
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #nextDescriptor = 0;
  #nextDataAt = DATA_AT;
  #availIndex = 0;
  #usedSeen = 0;

  constructor(size = 8) {
    this.size = size;
    const mapped = native.mapShared(this.fd, 0, MEMORY_BYTES) as ArrayBuffer;
    this.bytes = new Uint8Array(mapped);
    this.#view = new DataView(mapped);
    this.region = {
      fd: this.fd,
      guestAddress: GUEST_BASE,
      userAddress: USER_BASE,
      sizeBytes: BigInt(MEMORY_BYTES),
      mmapOffsetBytes: 0n,
    };
  }

  /** The ring's addresses as the front-end says them. */
  get addresses() {
    return {
      descriptorAddress: USER_BASE + BigInt(DESCRIPTORS_AT),
      availableAddress: USER_BASE + BigInt(AVAILABLE_AT),
      usedAddress: USER_BASE + BigInt(USED_AT),
    };
  }

  memory(): GuestMemory {
    return GuestMemory.of([this.region]);
  }

  /** What a worker needs; it gets duplicates of the descriptors. */
  start(queue: number, memory: GuestMemory, values: Partial<VringStart> = {}): VringStart {
    return {
      queue,
      size: this.size,
      ...this.addresses,
      availBase: this.#availIndex,
      eventIdx: false,
      enabled: true,
      kickFd: native.fdDuplicate(this.kickFd),
      callFd: native.fdDuplicate(this.callFd),
      errFd: native.fdDuplicate(this.errFd),
      memory: memory.id,
      packed: false,
      addressing: 0,
      inbandKicks: false,
      inbandCalls: false,
      ...values,
    };
  }

  /** Makes a chain available and kicks; returns its head. Writable buffers come last. */
  add(...buffers: readonly (Uint8Array | number)[]): number {
    const head = this.#nextDescriptor;
    buffers.forEach((buffer, i) => {
      const index = this.#nextDescriptor++ % this.size;
      const writable = typeof buffer === 'number';
      const length = writable ? buffer : buffer.byteLength;
      if (!writable) {
        this.bytes.set(buffer, this.#nextDataAt);
      }
      const last = i === buffers.length - 1;
      const flags = (writable ? WRITE : 0) | (last ? 0 : NEXT);
      this.descriptor(
        index,
        GUEST_BASE + BigInt(this.#nextDataAt),
        length,
        flags,
        (index + 1) % this.size,
      );
      this.#nextDataAt += length;
    });
    this.offer(head % this.size);
    return head % this.size;
  }

  descriptor(index: number, address: bigint, length: number, flags: number, next: number): void {
    const at = DESCRIPTORS_AT + index * 16;
    this.#view.setBigUint64(at, address, true);
    this.#view.setUint32(at + 8, length, true);
    this.#view.setUint16(at + 12, flags, true);
    this.#view.setUint16(at + 14, next, true);
  }

  /** Puts a head, good or bad, into the available ring and kicks. */
  offer(head: number): void {
    const slot = AVAILABLE_AT + 4 + (this.#availIndex % this.size) * 2;
    this.#view.setUint16(slot, head, true);
    this.setAvailIndex(this.#availIndex + 1);
    native.eventfdSignal(this.kickFd);
  }

  setAvailIndex(index: number): void {
    this.#availIndex = index & 0xffff;
    this.#view.setUint16(AVAILABLE_AT + 2, this.#availIndex, true);
  }

  /** Used elements that are new since the last call. */
  used(): { readonly head: number; readonly bytes: number }[] {
    const found: { head: number; bytes: number }[] = [];
    const index = this.#view.getUint16(USED_AT + 2, true);
    for (; this.#usedSeen !== index; this.#usedSeen = (this.#usedSeen + 1) & 0xffff) {
      const at = USED_AT + 4 + (this.#usedSeen % this.size) * 8;
      found.push({
        head: this.#view.getUint32(at, true),
        bytes: this.#view.getUint32(at + 4, true),
      });
    }
    return found;
  }

  get usedIndex(): number {
    return this.#view.getUint16(USED_AT + 2, true);
  }

  close(): void {
    for (const fd of [this.fd, this.kickFd, this.callFd, this.errFd]) {
      native.fdClose(fd);
    }
  }
}
