// The data half of a switch: the rings of all its guests in one worker.

import type { HandlerContext, HandlerFactory, QueueHandler } from '../../../core/device.js';
import { type Batch, queueOfChain } from '../../../core/virtqueue/batch.js';
import { NO_CHAIN } from '../../../core/virtqueue/operations.js';
import { Arena } from '../arena.js';
import { claimRing, type SharedCapture } from '../capture/shared-capture.js';
import { NetCounters } from '../counters.js';
import { FRAME_BYTES_MAX, FRAME_BYTES_MIN, HEADER_BYTES, HEADER_WORDS } from '../format.js';
import type { HostEnd } from '../host-end.js';
import { BYTES_PER_TURN, isTransmit, receiveQueue, transmitQueue } from '../queues.js';
import { Fabric } from './fabric.js';
import { LinkHeader, SHOWN_BYTES } from './link-header.js';
import { QUEUES_PER_PORT, SwitchPort, type SwitchPortOptions } from './switch-port.js';
import { Uplink } from './uplink.js';

/** The header of a frame that nothing is left to be done to. */
const NOTHING_LEFT = new Uint32Array(HEADER_WORDS);

export interface SwitchHandlerOptions {
  readonly ports: readonly SwitchPortOptions[];
  readonly ageS: number;
  readonly capture: SharedCapture | undefined;
  /** The last of the ports then; undefined: guests have only each other. */
  readonly uplink: HostEnd | undefined;
}

/** What a card's control half tells: what was negotiated; a frame in the guest's name. */
export type SwitchMessage =
  | { readonly kind: 'features'; readonly features: bigint }
  | { readonly kind: 'announce'; readonly frame: Uint8Array };

const NO_HEADER = new Uint32Array(0);

interface RequestFrame {
  batch: Batch | undefined;
  index: number;
  chain: number;
  bytes: number;
  readonly link: LinkHeader;
  header: Uint32Array;
}

class SwitchHandler implements QueueHandler {
  readonly #context: HandlerContext;
  readonly #ports: readonly SwitchPort[];
  readonly #fabric: Fabric;
  readonly #link = new LinkHeader();
  /** Of a frame that is in no batch. */
  readonly #privateLink = new LinkHeader();
  /** Of the request in hand: one object for all. */
  readonly #frame: RequestFrame = {
    ...{ batch: undefined, index: 0, chain: 0, bytes: 0 },
    ...{ link: this.#link, header: NO_HEADER },
  };
  readonly #uplink: Uplink | undefined;

  constructor(context: HandlerContext) {
    this.#context = context;
    const { ports, ageS, capture, uplink } = context.options as SwitchHandlerOptions;
    const outsideBytes = uplink === undefined ? 0 : Uplink.arenaBytes(uplink);
    const portBytes = ports.reduce((sum, port) => sum + SwitchPort.arenaBytes(port), 0);
    const arena = new Arena(Fabric.arenaBytes(ports.length) + portBytes + outsideBytes);
    context.useArena(arena.bytes);
    context.limitTurn(BYTES_PER_TURN);
    const ring = capture === undefined ? undefined : claimRing(capture);
    if (ring !== undefined) {
      context.useCapture(ring);
    }
    this.#ports = ports.map((options, i) => new SwitchPort(i, options, context.commands, arena));
    const captures = ring !== undefined;
    this.#fabric = new Fabric({ context, arena, ports: this.#ports, ageS, captures });
    this.#uplink = uplink === undefined ? undefined : this.#openUplink(arena, uplink, ports);
    this.#fabric.uplink = this.#uplink;
    this.#shareQueues();
  }

  /** Native code keeps what guests post, and forwards what flows of the fabric's speak for. */
  #shareQueues(): void {
    for (const port of this.#ports) {
      if (!port.outside) {
        const [receive, transmit] = [receiveQueue(0), transmitQueue(0)];
        const first = port.index * QUEUES_PER_PORT;
        this.#context.keepChains(first + receive, port.chains.offset, port.countsOf(receive));
        const flows = this.#fabric.flowsOf(port);
        this.#context.forwardFrames(first + transmit, flows, port.countsOf(transmit));
      }
    }
  }

  requests(batch: Batch): void {
    this.#fabric.begin();
    // Chains to receive into first: what is sent in the same batch finds them.
    for (let i = 0; i < batch.count; i++) {
      const queue = queueOfChain(batch.chain(i));
      if (!isTransmit(queue % QUEUES_PER_PORT)) {
        this.#post(batch, i, queue);
      }
    }
    for (let i = 0; i < batch.count; i++) {
      const queue = queueOfChain(batch.chain(i));
      if (isTransmit(queue % QUEUES_PER_PORT)) {
        this.#transmit(batch, i, this.#portOf(queue));
      }
    }
  }

  completion(chain: number, tag: number, result: number): void {
    this.#uplink?.completion(chain, tag, result);
  }

  event(token: number, hungUp: boolean): void {
    this.#uplink?.event(token, hungUp);
  }

  close(): void {
    this.#uplink?.close();
  }

  message(message: unknown, firstQueue: number): void {
    const said = message as SwitchMessage;
    const port = this.#portOf(firstQueue);
    if (said.kind === 'announce') {
      this.#forwardPrivate(port, said.frame);
    } else {
      port.negotiated(said.features);
      this.#fabric.changed();
    }
  }

  started(queue: number, where: 'fresh' | 'resumed' | 'elsewhere'): void {
    if (queue % QUEUES_PER_PORT === 0) {
      // Nothing waits for receive buffers: those that come are seen when there is a frame for them.
      this.#context.askKicks(queue, false);
    }
    if (where === 'fresh' && isTransmit(queue % QUEUES_PER_PORT)) {
      this.#fabric.forget(this.#portOf(queue));
    }
  }

  vringEnabled(queue: number, enabled: boolean): void {
    if (queue % QUEUES_PER_PORT === 0) {
      this.#portOf(queue).running = enabled;
      this.#fabric.changed();
    }
  }

  drain(queue: number): void {
    if (queue % QUEUES_PER_PORT === 0) {
      this.#portOf(queue).chains.takeBack();
    }
  }

  #openUplink(arena: Arena, host: HostEnd, ports: readonly SwitchPortOptions[]): Uplink {
    const port = this.#ports.at(-1) as SwitchPort;
    const counters = new NetCounters((ports.at(-1) as SwitchPortOptions).counters);
    const forward = (body: Uint8Array) => this.#forwardPrivate(port, body);
    return new Uplink({ context: this.#context, arena, host, counters, forward });
  }

  /** A finished frame in private memory. */
  #forwardPrivate(from: SwitchPort, body: Uint8Array): void {
    const link = this.#privateLink;
    this.#fabric.begin();
    link.readFrame(body);
    const bytes = body.byteLength;
    this.#fabric.forward(from, { chain: NO_CHAIN, body, bytes, link, header: NOTHING_LEFT });
  }

  #portOf(queue: number): SwitchPort {
    return this.#ports[Math.floor(queue / QUEUES_PER_PORT)] as SwitchPort;
  }

  #post(batch: Batch, i: number, queue: number): void {
    const chain = batch.chain(i);
    if (queue % QUEUES_PER_PORT === 0) {
      this.#portOf(queue).chains.post(chain, batch.writableBytes(i));
    } else {
      this.#context.commands.complete(chain, 0);
    }
  }

  #transmit(batch: Batch, i: number, port: SwitchPort): void {
    const chain = batch.chain(i);
    const bytes = batch.readableBytes(i) - HEADER_BYTES;
    if (bytes < FRAME_BYTES_MIN || bytes > FRAME_BYTES_MAX) {
      port.droppedSent('length');
    } else if (!this.#accept(batch, i, port, bytes)) {
      port.droppedSent('header');
    } else {
      const frame = this.#frame;
      this.#link.read(batch, i);
      frame.batch = batch;
      frame.index = i;
      frame.chain = chain;
      frame.bytes = bytes;
      frame.header = port.header.words;
      this.#fabric.forward(port, frame);
      return;
    }
    this.#context.commands.complete(chain, 0);
  }

  #accept(batch: Batch, i: number, port: SwitchPort, bytes: number): boolean {
    const flags = batch.headerWord(i, 0);
    return port.header.accept(flags, batch.headerWord(i, 1), batch.headerWord(i, 2), bytes);
  }
}

export const handlerFactory: HandlerFactory = {
  headerBytes: SHOWN_BYTES,
  create: (context) => new SwitchHandler(context),
};
