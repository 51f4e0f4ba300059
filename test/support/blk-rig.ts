// The data half of virtio-blk without a worker: requests are written into the table, commands read
// from it, completions given by hand. The tables, the writer and the file are real.

import { ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { QueueHandler } from '../../src/core/device.js';
import { Batch } from '../../src/core/virtqueue/batch.js';
import { CommandWriter } from '../../src/core/virtqueue/command-writer.js';
import { type BlkHandlerOptions, handlerFactory } from '../../src/devices/blk/handler.js';
import { SharedState } from '../../src/devices/blk/shared-state.js';
import { exchange, native } from '../../src/native/index.js';
import { type RecordedCommand, takeCommands } from './recorded-commands.js';
import { temporaryDirectory } from './resources.js';

export const CAPACITY_SECTORS = 2048;

export interface BlkRequest {
  readonly type: number;
  readonly sector?: bigint;
  /** Readable bytes behind the header, real or only counted. */
  readonly data?: Uint8Array | number;
  /** Readable bytes in all, when it is not header plus data. */
  readonly readable?: number;
  /** Writable bytes, the status byte included. */
  readonly writable?: number;
}

export class BlkRig {
  readonly tables = new exchange.Exchange();
  readonly commands = new CommandWriter(this.tables);
  readonly state = new SharedState();
  readonly handler: QueueHandler;
  /** What was copied into chains: offset and bytes. */
  readonly copiedIn: { readonly chain: number; readonly offset: number; readonly bytes: string }[] =
    [];
  readonly #batch = new Batch(this.tables);
  readonly #readable = new Map<number, Uint8Array>();
  #nextChain = 1;

  constructor(t: Test, options: Partial<BlkHandlerOptions> = {}) {
    const fd = openSync(join(temporaryDirectory(t), 'disk'), 'w+');
    ftruncateSync(fd, CAPACITY_SECTORS * 512);
    this.state.capacitySectors = CAPACITY_SECTORS;
    this.state.writeback = true;
    this.handler = handlerFactory.create({
      commands: this.commands,
      addFile: () => {},
      watch: () => {},
      move: () => 0,
      askKicks: () => {},
      paceCalls: () => {},
      receiveScattered: () => 0,
      callAgain: () => {},
      useArena: () => {},
      useCapture: () => {},
      capture: () => {},
      keepChains: () => {},
      forwardFrames: () => {},
      limitTurn: () => {},
      unwatch: () => {},
      copyOut: (chain, offset, to, bytes) => {
        const from = this.#readable.get(chain)?.subarray(offset, offset + bytes) ?? [];
        to.set(from);
        return from.length;
      },
      copyIn: (chain, offset, from, bytes) => {
        this.copiedIn.push({
          chain,
          offset,
          bytes: Buffer.from(from.subarray(0, bytes)).toString(),
        });
        return bytes;
      },
      options: {
        fd,
        readOnly: false,
        directAlign: 0,
        blockBytes: 512,
        serial: 'serial-1',
        shared: this.state.buffer,
        ...options,
      } satisfies BlkHandlerOptions,
    });
    t.teardown(() => {
      this.handler.close?.();
      native.fdClose(fd);
    });
  }

  /** Hands over the requests as one batch; the commands they led to. */
  request(...requests: readonly BlkRequest[]): RecordedCommand[] {
    requests.forEach((request, i) => {
      this.#write(i, request);
    });
    this.#batch.count = requests.length;
    this.handler.requests(this.#batch);
    return takeCommands(this.tables, this.commands);
  }

  complete(command: RecordedCommand | undefined, result: number): RecordedCommand[] {
    this.handler.completion(command?.chain ?? 0, command?.tag ?? 0, result);
    return takeCommands(this.tables, this.commands);
  }

  #write(index: number, { type, sector = 0n, data = 0, readable, writable = 1 }: BlkRequest): void {
    const header = new Uint8Array(16);
    const view = new DataView(header.buffer);
    view.setUint32(0, type, true);
    view.setUint32(4, 0xdeadbeef, true); // reserved: whatever a driver leaves there (BK-033)
    view.setBigUint64(8, sector, true);
    const chain = this.#nextChain++;
    const bytes = typeof data === 'number' ? new Uint8Array(0) : data;
    this.#readable.set(chain, Uint8Array.from([...header, ...bytes]));
    const length = typeof data === 'number' ? data : data.byteLength;
    const at = index * exchange.RECORD_WORDS;
    this.tables.requests.set([chain, readable ?? 16 + length, writable, 0], at);
    this.tables.bytes.set(header, (at + exchange.REQUEST_HEADER) * 4);
  }
}

/** One segment of DISCARD or WRITE_ZEROES. */
export function segment(sector: bigint, sectors: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, sector, true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return bytes;
}
