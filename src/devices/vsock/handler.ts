// The data half of virtio-vsock: three queues, and who gets the next receive buffer.

import type { HandlerContext, HandlerFactory, QueueHandler } from '../../core/device.js';
import { type Batch, queueOfChain } from '../../core/virtqueue/batch.js';
import { Connections, type ConnectionsOptions } from './connections.js';
import {
  EVENT_BYTES,
  EVENT_QUEUE,
  EVENT_TRANSPORT_RESET,
  HEADER_BYTES,
  RX_QUEUE,
  TX_QUEUE,
} from './format.js';
import { PacketReceiver } from './packet-receiver.js';
import { PacketSender } from './packet-sender.js';
import { ReceiveBuffers } from './receive-buffers.js';

export type VsockHandlerOptions = ConnectionsOptions;

/** What the control half says. */
export type VsockMessage =
  /** The driver or its front-end is gone. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'features'; readonly stream: boolean; readonly seqpacket: boolean }
  /** Where a name that --forward leads to is found now. */
  | { readonly kind: 'addresses'; readonly host: string; readonly addresses: readonly string[] };

/** To the guest before it may see the first of them, packets or bytes of payload: it takes one
 *  while the next is copied, and tells of room the sooner. */
const PACKETS_PER_TURN = 16;
const BYTES_PER_TURN = 65_536;

class VsockHandler implements QueueHandler {
  readonly #context: HandlerContext;
  readonly #connections: Connections;
  readonly #receiver: PacketReceiver;
  readonly #sender: PacketSender;
  readonly #buffers = new ReceiveBuffers();
  #eventChains: number[] = [];
  /** The guest has connections of a process before this one. */
  #resetDue = false;
  /** The receive queue runs. */
  #receives = false;

  constructor(context: HandlerContext) {
    this.#context = context;
    const options = context.options as VsockHandlerOptions;
    this.#connections = new Connections(context, options, () => this.#fill());
    this.#receiver = new PacketReceiver(this.#connections, options.guestCid);
    this.#sender = new PacketSender(context, this.#connections, options.guestCid);
  }

  requests(batch: Batch): void {
    for (let i = 0; i < batch.count; i++) {
      const chain = batch.chain(i);
      switch (queueOfChain(chain)) {
        case TX_QUEUE:
          this.#receiver.packet(batch, i);
          this.#context.commands.complete(chain, 0);
          break;
        case RX_QUEUE:
          this.#offer(chain, batch.writableBytes(i));
          break;
        case EVENT_QUEUE:
          this.#eventChains.push(chain);
          break;
        default:
          this.#context.commands.complete(chain, 0);
      }
    }
    this.#tellReset();
    this.#fill();
  }

  /** No command of ours asks to be told. */
  completion(chain: number): void {
    this.#context.commands.complete(chain, 0);
  }

  event(token: number, hungUp: boolean): void {
    this.#connections.event(token, hungUp);
    this.#fill();
  }

  again(): void {
    this.#fill();
  }

  message(message: unknown): void {
    const told = message as VsockMessage;
    switch (told.kind) {
      case 'reset':
        this.#connections.dropAll();
        this.#resetDue = false;
        break;
      case 'features':
        this.#connections.allow(told.stream, told.seqpacket);
        break;
      case 'addresses':
        this.#connections.addresses(told.host, told.addresses);
        break;
    }
  }

  started(queue: number, where: 'fresh' | 'resumed' | 'elsewhere'): void {
    if (where === 'resumed') {
      return;
    }
    // Another driver, or the same after we have lost our memory of it: nobody knows our
    // connections. A driver that has been at work before may have some of its own (VS-037). One
    // whose receive queue has run on has reset this queue alone (VIRTIO_F_RING_RESET).
    if (queue === TX_QUEUE && !this.#receives) {
      this.#connections.dropAll();
    } else if (queue === EVENT_QUEUE) {
      this.#resetDue = where === 'elsewhere';
    }
  }

  vringEnabled(queue: number, enabled: boolean): void {
    if (queue === RX_QUEUE) {
      this.#receives = enabled;
    }
  }

  drain(queue: number): void {
    if (queue === RX_QUEUE) {
      for (let i = 0; i < this.#buffers.count; i++) {
        this.#context.commands.complete(this.#buffers.chain(i), 0);
      }
      this.#buffers.shift(this.#buffers.count);
    } else if (queue === EVENT_QUEUE) {
      for (const chain of this.#eventChains.splice(0)) {
        this.#context.commands.complete(chain, 0);
      }
    }
  }

  close(): void {
    this.#connections.close();
  }

  #offer(chain: number, bytes: number): void {
    if (bytes <= HEADER_BYTES) {
      // VS-008: no packet with a byte of payload fits.
      this.#context.commands.complete(chain, 0);
      return;
    }
    this.#buffers.push(chain, bytes);
  }

  /** Hands out receive buffers while there are some and somebody has use for them. */
  #fill(): void {
    let packets = 0;
    const before = this.#sender.payloadBytes;
    while (this.#buffers.count > 0) {
      if (packets >= PACKETS_PER_TURN || this.#sender.payloadBytes - before >= BYTES_PER_TURN) {
        this.#context.callAgain();
        break;
      }
      const filled = this.#sender.next(this.#buffers);
      if (filled === 0) {
        break;
      }
      packets += filled;
    }
  }

  #tellReset(): void {
    const chain = this.#resetDue ? this.#eventChains.shift() : undefined;
    if (chain === undefined) {
      return;
    }
    this.#resetDue = false;
    const event = new Uint8Array(EVENT_BYTES);
    new DataView(event.buffer).setUint32(0, EVENT_TRANSPORT_RESET, true);
    const written = this.#context.copyIn(chain, 0, event, EVENT_BYTES);
    this.#context.commands.complete(chain, Math.max(0, written));
  }
}

export const handlerFactory: HandlerFactory = {
  headerBytes: HEADER_BYTES,
  create: (context) => new VsockHandler(context),
};
