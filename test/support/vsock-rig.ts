// The data half of virtio-vsock without a worker: chains are bytes of the test's, packets go in and
// come out by hand. Sockets, tables and the command writer are real.

import { constants } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { HandlerContext } from '../../src/core/device.js';
import { Batch } from '../../src/core/virtqueue/batch.js';
import { CommandWriter } from '../../src/core/virtqueue/command-writer.js';
import { HEADER_BYTES, HeaderWriter, TYPE_STREAM } from '../../src/devices/vsock/format.js';
import { handlerFactory, type VsockHandlerOptions } from '../../src/devices/vsock/handler.js';
import { UdsListener } from '../../src/devices/vsock/uds-listener.js';
import { check, exchange, native } from '../../src/native/index.js';
import { takeCommands } from './recorded-commands.js';
import { temporaryDirectory } from './resources.js';

export const RIG_CID = 42;

/** A packet the handler has put into a receive buffer. */
export interface SeenPacket {
  readonly op: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly flags: number;
  readonly text: string;
}

export interface PacketOptions {
  readonly type?: number;
  /** What the guest does to its chain once it was popped. */
  readonly rewrite?: (chain: Uint8Array) => void;
}

/** A context whose chains are plain bytes, by number. */
export class PlainContext implements HandlerContext {
  readonly tables = new exchange.Exchange();
  readonly commands = new CommandWriter(this.tables);
  readonly chains = new Map<number, Uint8Array>();
  /** Token to descriptor, and whether it is watched for writing too. */
  readonly watched = new Map<number, { readonly fd: number; readonly writable: boolean }>();
  readonly options: unknown;
  again = false;
  /** Of payload, that no system call has put there. */
  copiedBytes = 0;

  constructor(options: unknown = {}) {
    this.options = options;
  }

  addFile(): void {}
  useArena(): void {}
  useCapture(): void {}
  capture(): void {}
  keepChains(): void {}

  forwardFrames(): void {}

  limitTurn(): void {}

  askKicks(): void {}
  paceCalls(): void {}

  callAgain(): void {
    this.again = true;
  }

  copyOut(chain: number, offset: number, to: Uint8Array, bytes: number): number {
    to.set((this.chains.get(chain) as Uint8Array).subarray(offset, offset + bytes));
    return bytes;
  }

  copyIn(chain: number, offset: number, from: Uint8Array, bytes: number): number {
    this.copiedBytes += offset >= HEADER_BYTES ? bytes : 0;
    (this.chains.get(chain) as Uint8Array).set(from.subarray(0, bytes), offset);
    return bytes;
  }

  move(code: number, chain: number, _: number, fd: number, bytes: number, at: number): number {
    const from = this.chains.get(chain) as Uint8Array;
    return code === exchange.OP_SEND
      ? native.hostSend(fd, from, at, bytes)
      : native.hostReceive(fd, from, at, bytes, false);
  }

  receiveScattered(
    fd: number,
    chains: Uint32Array,
    from: number,
    count: number,
    bytes: number,
    prefix: Uint8Array,
    lengthAt: number,
    whole: boolean,
  ): number {
    const list = [...chains.subarray(from, from + count)].map(
      (chain) => this.chains.get(chain) as Uint8Array,
    );
    const room = list.reduce((sum, { byteLength }) => sum + byteLength - prefix.byteLength, 0);
    if (whole && room < bytes) {
      return -constants.errno.EMSGSIZE;
    }
    const received = new Uint8Array(Math.min(bytes, room));
    const got = native.hostReceive(fd, received, 0, received.byteLength, false);
    for (let at = 0; at < got; ) {
      const to = list.shift() as Uint8Array;
      const part = received.subarray(0, got).subarray(at, at + to.byteLength - prefix.byteLength);
      to.set(prefix);
      new DataView(to.buffer, to.byteOffset).setUint32(lengthAt, part.byteLength, true);
      to.set(part, prefix.byteLength);
      at += part.byteLength;
    }
    return Math.min(got, received.byteLength);
  }

  watch(fd: number, token: number, writable = false): void {
    this.watched.set(token, { fd, writable });
  }

  unwatch(token: number): void {
    this.watched.delete(token);
  }
}

export class VsockRig {
  readonly context: PlainContext;
  readonly path: string;
  readonly handler;
  readonly #batch: Batch;
  #nextChain = 0;

  constructor(t: Test, bufferBytes = 65_536) {
    this.path = join(temporaryDirectory(t), 'v');
    const stream = UdsListener.stream(this.path);
    const seqpacket = UdsListener.seqpacket(`${this.path}_seqpacket`);
    const uds = { path: this.path, streamFd: stream.fd, seqpacketFd: seqpacket.fd };
    this.context = new PlainContext({
      guestCid: RIG_CID,
      bufferBytes,
      uds,
    } satisfies VsockHandlerOptions);
    this.#batch = new Batch(this.context.tables);
    this.handler = handlerFactory.create(this.context);
    this.handler.message?.({ kind: 'features', stream: true, seqpacket: true }, 0);
    t.teardown(() => {
      this.handler.close?.();
      stream.close();
      seqpacket.close();
    });
  }

  /** One request of a queue. */
  request(
    queue: number,
    bytes: Uint8Array,
    readable: number,
    writable: number,
    rewrite?: PacketOptions['rewrite'],
  ): number {
    const chain = (queue << 16) | this.#nextChain++;
    this.context.chains.set(chain, bytes);
    const { tables } = this.context;
    tables.requests.set([chain, readable, writable, 0], 0);
    tables.bytes.fill(0, 16, 64);
    if (readable > 0) {
      tables.bytes.set(bytes.subarray(0, 44), 4 * exchange.REQUEST_HEADER);
    }
    rewrite?.(bytes);
    this.#batch.count = 1;
    this.handler.requests(this.#batch);
    return chain;
  }

  /** Receive buffers. */
  offer(count: number, bytes = 1000): void {
    for (let i = 0; i < count; i++) {
      this.request(0, new Uint8Array(bytes), 0, bytes);
    }
  }

  /** A packet of the guest's. */
  say(
    guestPort: number,
    hostPort: number,
    op: number,
    text = '',
    flags = 0,
    bufAlloc = 4096,
    more: PacketOptions = {},
  ): void {
    const header = new HeaderWriter();
    header.addresses(RIG_CID, guestPort, 2, hostPort);
    header.content(more.type ?? TYPE_STREAM, op, flags, text.length);
    header.credit(bufAlloc, 0);
    const bytes = Buffer.concat([header.bytes, Buffer.from(text)]);
    this.request(1, bytes, bytes.byteLength, 0, more.rewrite);
  }

  /** Every descriptor that is watched had something; then what the guest was told. */
  poll(): SeenPacket[] {
    for (const token of [...this.context.watched.keys()]) {
      this.handler.event?.(token, false);
    }
    return this.seen();
  }

  /** Packets in the receive buffers that were completed. */
  seen(): SeenPacket[] {
    const packets: SeenPacket[] = [];
    do {
      this.context.again = false;
      for (const { chain = 0, used = 0 } of takeCommands(
        this.context.tables,
        this.context.commands,
      )) {
        if (chain >>> 16 === 0 && used > 0) {
          packets.push(parse(this.context.chains.get(chain) as Uint8Array, used));
        }
      }
      this.handler.again?.();
    } while (this.context.again);
    return packets;
  }

  /** A host program's listener for the guest's connections; accepts one when called. */
  listen(t: Test, port: number): () => number {
    const listener = UdsListener.stream(`${this.path}_${port}`);
    t.teardown(() => listener.close());
    return () => {
      const fd = check('accept', native.hostAccept(listener.fd));
      t.teardown(() => native.fdClose(fd));
      return fd;
    };
  }
}

/** What a descriptor has to say now. */
export function readNow(fd: number): string {
  const to = new Uint8Array(1 << 20);
  const got = native.hostReceive(fd, to, 0, to.byteLength, false);
  return got < 0 ? '' : Buffer.from(to.subarray(0, got)).toString();
}

export function writeNow(fd: number, text: string): number {
  const bytes = Buffer.from(text);
  return native.hostSend(fd, bytes, 0, bytes.byteLength);
}

function parse(bytes: Uint8Array, usedBytes: number): SeenPacket {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    op: view.getUint16(30, true),
    srcPort: view.getUint32(16, true),
    dstPort: view.getUint32(20, true),
    flags: view.getUint32(32, true),
    text: Buffer.from(bytes.subarray(44, usedBytes)).toString(),
  };
}
