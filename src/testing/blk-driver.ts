// A virtio-blk driver for tests: real requests over a TestFrontend, with every layout a guest may
// choose.

import type { Buffer as ChainBuffer, RingDriver, SharedMemory } from '../core/frontend/index.js';

export const BLK_IN = 0;
export const BLK_OUT = 1;
export const BLK_FLUSH = 4;
export const BLK_GET_ID = 8;
export const BLK_DISCARD = 11;
export const BLK_WRITE_ZEROES = 13;

export const STATUS_OK = 0;
export const STATUS_IOERR = 1;
export const STATUS_UNSUPP = 2;
/** What the status byte holds before the device writes it. */
export const STATUS_UNWRITTEN = 0xee;

const HEADER_BYTES = 16;

export interface BlkRequest {
  readonly type: number;
  readonly sector?: bigint | number;
  /** Device-readable data behind the header. */
  readonly out?: Uint8Array;
  /** Bytes of device-writable data before the status. */
  readonly inBytes?: number;
  readonly queue?: number;
  readonly indirect?: boolean;
  /** Cuts the readable and the writable side into pieces of this many bytes. */
  readonly pieceBytes?: number;
  /** Shifts the data buffers by this many bytes (O_DIRECT alignment). */
  readonly misalign?: number;
}

export interface BlkResult {
  readonly status: number;
  readonly data: Uint8Array;
  readonly usedBytes: number;
}

interface Pending {
  readonly statusOffset: number;
  readonly dataOffset: number;
  readonly dataBytes: number;
}

export interface Segment {
  readonly sector: number | bigint;
  readonly sectors: number;
  readonly flags: number;
}

/** A running queue as a driver needs it. */
export interface DriverQueue {
  readonly index: number;
  readonly driver: RingDriver;
  readonly callFd: number;
  kick(): void;
  signalled(fd: number): Promise<boolean>;
}

/** Memory and queues of a device that runs: a TestFrontend is one. */
export interface DriverTransport {
  readonly memory: SharedMemory;
  queue(index: number): DriverQueue;
}

export class BlkDriver {
  readonly #frontend: DriverTransport;
  readonly #memory: SharedMemory;
  /** Calls of requests() under way, and where memory began before the first. */
  #active = 0;
  #mark = 0;

  constructor(frontend: DriverTransport) {
    this.#frontend = frontend;
    this.#memory = frontend.memory;
  }

  /** One request, waited for. */
  async request(request: BlkRequest): Promise<BlkResult> {
    const [result] = await this.requests([request]);
    return result as BlkResult;
  }

  /** All at once on one queue, in the order given; results in the same order. */
  async requests(requests: readonly BlkRequest[]): Promise<BlkResult[]> {
    if (this.#active++ === 0) {
      this.#mark = this.#memory.mark();
    }
    const queue = this.#frontend.queue(requests[0]?.queue ?? 0);
    const heads = requests.map((request) => this.#add(queue, request));
    if (queue.driver.publish()) {
      queue.kick();
    }
    const used = await this.#collect(queue, requests.length);
    const results = heads.map(([head, pending]) => this.#result(pending, used.get(head)));
    // Buffers are given back together: requests on other queues may still use theirs.
    if (--this.#active === 0) {
      this.#memory.reset(this.#mark);
    }
    return results;
  }

  async read(sector: number, bytes: number): Promise<Uint8Array> {
    const { status, data } = await this.request({ type: BLK_IN, sector, inBytes: bytes });
    expectOk(status, `read of ${bytes} bytes at sector ${sector}`);
    return data;
  }

  async write(sector: number, out: Uint8Array): Promise<void> {
    const { status } = await this.request({ type: BLK_OUT, sector, out });
    expectOk(status, `write of ${out.byteLength} bytes at sector ${sector}`);
  }

  async flush(): Promise<void> {
    expectOk((await this.request({ type: BLK_FLUSH })).status, 'flush');
  }

  async serial(): Promise<string> {
    const { status, data } = await this.request({ type: BLK_GET_ID, inBytes: 20 });
    expectOk(status, 'serial');
    return new TextDecoder().decode(data).replace(/\0.*$/, '');
  }

  #add(queue: DriverQueue, request: BlkRequest): [number, Pending] {
    const { out = new Uint8Array(0), inBytes = 0, pieceBytes, misalign = 0 } = request;
    const memory = this.#memory;
    const header = memory.allocate(HEADER_BYTES);
    memory.view.setUint32(header, request.type, true);
    memory.view.setUint32(header + 4, 0, true);
    memory.view.setBigUint64(header + 8, BigInt(request.sector ?? 0), true);
    const outOffset = memory.allocate(out.byteLength + misalign, 4096) + misalign;
    memory.bytes.set(out, outOffset);
    const dataOffset = memory.allocate(inBytes + misalign, 4096) + misalign;
    memory.bytes.fill(0xcd, dataOffset, dataOffset + inBytes);
    const statusOffset = memory.allocate(1, 1);
    memory.bytes[statusOffset] = STATUS_UNWRITTEN;
    const buffers: ChainBuffer[] = [
      ...pieces({ offset: header, bytes: HEADER_BYTES, writable: false }, pieceBytes),
      ...pieces({ offset: outOffset, bytes: out.byteLength, writable: false }, pieceBytes),
      ...pieces({ offset: dataOffset, bytes: inBytes, writable: true }, pieceBytes),
      { offset: statusOffset, bytes: 1, writable: true },
    ];
    const head = queue.driver.add(buffers, { indirect: request.indirect ?? false });
    return [head, { statusOffset, dataOffset, dataBytes: inBytes }];
  }

  async #collect(queue: DriverQueue, count: number): Promise<Map<number, number>> {
    const used = new Map<number, number>();
    for (;;) {
      for (const { id, length } of queue.driver.takeUsed()) {
        used.set(id, length);
      }
      if (used.size === count) {
        return used;
      }
      // takeUsed has just asked for an interrupt; look again before waiting for it.
      if (queue.driver.hasUsed) {
        continue;
      }
      if (!(await queue.signalled(queue.callFd))) {
        throw new Error(`queue ${queue.index}: ${used.size} of ${count} requests came back`);
      }
    }
  }

  #result(pending: Pending, usedBytes: number | undefined): BlkResult {
    const { statusOffset, dataOffset, dataBytes } = pending;
    return {
      status: this.#memory.bytes[statusOffset] as number,
      data: this.#memory.bytes.slice(dataOffset, dataOffset + dataBytes),
      usedBytes: usedBytes ?? -1,
    };
  }
}

/** The list of a DISCARD or WRITE_ZEROES (VIRTIO 1.3 §5.2.6). */
export function segmentList(segments: readonly Segment[]): Uint8Array {
  const bytes = new Uint8Array(segments.length * 16);
  const view = new DataView(bytes.buffer);
  segments.forEach(({ sector, sectors, flags }, i) => {
    view.setBigUint64(i * 16, BigInt(sector), true);
    view.setUint32(i * 16 + 8, sectors, true);
    view.setUint32(i * 16 + 12, flags, true);
  });
  return bytes;
}

function pieces(buffer: ChainBuffer, pieceBytes: number | undefined): ChainBuffer[] {
  const step = pieceBytes ?? Math.max(buffer.bytes, 1);
  const cut: ChainBuffer[] = [];
  for (let at = 0; at < buffer.bytes; at += step) {
    const bytes = Math.min(step, buffer.bytes - at);
    cut.push({ offset: buffer.offset + at, bytes, writable: buffer.writable });
  }
  return cut;
}

function expectOk(status: number, what: string): void {
  if (status !== STATUS_OK) {
    throw new Error(`${what}: status ${status}`);
  }
}
