// The data half of virtio-net: hands the driver's frames to the host's end of their queue pair, and
// keeps its receive chains for what comes from there.

import type { HandlerContext, HandlerFactory, QueueHandler } from '../../core/device.js';
import { hasFeature } from '../../core/protocol/index.js';
import type { Batch } from '../../core/virtqueue/batch.js';
import { queueOfChain } from '../../core/virtqueue/batch.js';
import { Arena } from './arena.js';
import { claimRing, type SharedCapture } from './capture/shared-capture.js';
import { CompletionList } from './completion-list.js';
import { NetCounters } from './counters.js';
import {
  FRAME_BYTES_MAX,
  FRAME_BYTES_MIN,
  HEADER_BYTES,
  VIRTIO_NET_F_MRG_RXBUF,
} from './format.js';
import { createPort, type HostEnd, portArenaBytes } from './host-end.js';
import { takesLargeFrames, tunOffload } from './offload.js';
import { CapturedPort } from './ports/captured-port.js';
import { PORT_NUMBERS, type Port } from './ports/port.js';
import { controlQueue, isTransmit, pairOfQueue, receiveQueue, transmitQueue } from './queues.js';
import { ReceiveQueue } from './receive-queue.js';
import { TransmitHeader } from './transmit-header.js';

/** What drivers without offloads have room for in each buffer: 1514 bytes and a VLAN tag. */
const PLAIN_FRAME_BYTES_MAX = 1518;

export interface NetHandlerOptions {
  readonly host: HostEnd;
  readonly pairs: number;
  readonly queueSize: number;
  readonly counters: SharedArrayBuffer;
  /** Where frames are shown; undefined: nobody looks on. */
  readonly capture: SharedCapture | undefined;
}

/** What the control half tells all workers. */
export interface NetMessage {
  readonly kind: 'features';
  readonly features: bigint;
}

/** The two queues of a pair and their host end. */
interface Pair {
  readonly receive: ReceiveQueue;
  readonly port: Port;
  readonly done: CompletionList;
}

class NetHandler implements QueueHandler {
  readonly #context: HandlerContext;
  readonly #options: NetHandlerOptions;
  readonly #counters: NetCounters;
  readonly #arena: Arena;
  readonly #header = new TransmitHeader();
  /** Made when their first ring starts: a worker has some of the pairs only. */
  readonly #pairs: (Pair | undefined)[];
  #features = 0n;
  #controlQueue: number | undefined;

  constructor(context: HandlerContext) {
    this.#context = context;
    this.#options = context.options as NetHandlerOptions;
    const { host, pairs, queueSize, counters, capture } = this.#options;
    this.#counters = new NetCounters(counters);
    const perPair =
      ReceiveQueue.arenaBytes(queueSize) +
      CompletionList.arenaBytes(queueSize) +
      portArenaBytes(host);
    this.#arena = new Arena(pairs * perPair);
    context.useArena(this.#arena.bytes);
    const ring = capture === undefined ? undefined : claimRing(capture);
    if (ring !== undefined) {
      context.useCapture(ring);
    }
    this.#pairs = Array.from({ length: pairs }, () => undefined);
  }

  requests(batch: Batch): void {
    for (let i = 0; i < batch.count; i++) {
      this.#request(batch, i);
    }
    for (const pair of this.#pairs) {
      pair?.port.flush?.();
      pair?.done.flush();
      pair?.port.pump();
    }
  }

  completion(chain: number, tag: number, result: number): void {
    this.#pairs[Math.floor(tag / PORT_NUMBERS)]?.port.completion(chain, tag % PORT_NUMBERS, result);
  }

  event(token: number, hungUp: boolean): void {
    this.#pairs[Math.floor(token / PORT_NUMBERS)]?.port.event(token % PORT_NUMBERS, hungUp);
  }

  message(message: unknown): void {
    const { features } = message as NetMessage;
    this.#features = features;
    this.#controlQueue = controlQueue(this.#options.pairs, features);
    this.#header.negotiated(features);
    for (const pair of this.#pairs) {
      if (pair !== undefined) {
        this.#negotiated(pair);
      }
    }
  }

  vringEnabled(queue: number, enabled: boolean): void {
    if (this.#carriesFrames(queue) && !isTransmit(queue)) {
      this.#pair(pairOfQueue(queue)).port.attach(enabled);
    }
  }

  drain(queue: number): void {
    if (this.#carriesFrames(queue) && !isTransmit(queue)) {
      this.#pairs[pairOfQueue(queue)]?.receive.takeBack();
    } else if (this.#carriesFrames(queue)) {
      this.#pairs[pairOfQueue(queue)]?.port.drain?.();
    }
  }

  close(): void {
    for (const pair of this.#pairs) {
      pair?.port.close();
    }
  }

  #carriesFrames(queue: number): boolean {
    return queue !== this.#controlQueue && pairOfQueue(queue) < this.#options.pairs;
  }

  #request(batch: Batch, i: number): void {
    const chain = batch.chain(i);
    const queue = queueOfChain(chain);
    if (!this.#carriesFrames(queue)) {
      this.#context.commands.complete(chain, 0);
    } else if (isTransmit(queue)) {
      this.#transmit(batch, i, chain, queue);
    } else {
      this.#pair(pairOfQueue(queue)).receive.post(chain, batch.writableBytes(i));
    }
  }

  #transmit(batch: Batch, i: number, chain: number, queue: number): void {
    const frameBytes = batch.readableBytes(i) - HEADER_BYTES;
    if (frameBytes < FRAME_BYTES_MIN || frameBytes > FRAME_BYTES_MAX) {
      this.#counters.dropped(queue, 'length');
    } else if (!this.#accept(batch, i, frameBytes)) {
      this.#counters.dropped(queue, 'header');
    } else {
      this.#pair(pairOfQueue(queue)).port.transmit(chain, frameBytes, this.#header.words);
      return;
    }
    this.#context.commands.complete(chain, 0);
  }

  #accept(batch: Batch, i: number, frameBytes: number): boolean {
    const flags = batch.headerWord(i, 0);
    return this.#header.accept(flags, batch.headerWord(i, 1), batch.headerWord(i, 2), frameBytes);
  }

  #pair(index: number): Pair {
    const found = this.#pairs[index];
    if (found !== undefined) {
      return found;
    }
    const { host, queueSize, capture } = this.#options;
    const shared = { context: this.#context, arena: this.#arena, counters: this.#counters };
    const receive = new ReceiveQueue({ ...shared, queue: receiveQueue(index), queueSize });
    const done = new CompletionList(this.#context, this.#arena, queueSize);
    const portContext = {
      ...shared,
      receive,
      done,
      transmitQueue: transmitQueue(index),
      firstNumber: index * PORT_NUMBERS,
    };
    const plain = createPort(host, index, portContext);
    const port = capture === undefined ? plain : new CapturedPort(plain, portContext, 0);
    const made = { receive, port, done };
    this.#negotiated(made);
    this.#pairs[index] = made;
    return made;
  }

  #negotiated({ receive, port }: Pair): void {
    const merge = hasFeature(this.#features, VIRTIO_NET_F_MRG_RXBUF);
    const large = takesLargeFrames(this.#features);
    receive.negotiated(merge, large ? FRAME_BYTES_MAX : PLAIN_FRAME_BYTES_MAX);
    port.setOffload?.(tunOffload(this.#features));
  }
}

export const handlerFactory: HandlerFactory = {
  headerBytes: HEADER_BYTES,
  create: (context) => new NetHandler(context),
};
