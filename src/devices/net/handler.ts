// The data half of virtio-net: hands the driver's frames to the host's end of their queue pair, and
// keeps its receive chains for what comes from there.

import type { HandlerContext, HandlerFactory, QueueHandler } from '../../core/device.js';
import { hasFeature } from '../../core/protocol/index.js';
import type { Batch } from '../../core/virtqueue/batch.js';
import { queueOfChain } from '../../core/virtqueue/batch.js';
import { native } from '../../native/index.js';
import { Arena } from './arena.js';
import { captureTag, claimRing, type SharedCapture } from './capture/shared-capture.js';
import { CompletionList } from './completion-list.js';
import { ControlQueue } from './control-queue.js';
import { ControlState } from './control-state.js';
import { NetCounters } from './counters.js';
import {
  FRAME_BYTES_MAX,
  FRAME_BYTES_MIN,
  HEADER_BYTES,
  headerBytesOf,
  MTU_DEFAULT,
  VIRTIO_NET_F_HASH_REPORT,
  VIRTIO_NET_F_MRG_RXBUF,
} from './format.js';
import { FrameFilter } from './frame-filter.js';
import { FrameHash, HASH_KEY_BYTES, HASH_QUEUES_MAX, HASH_TYPES } from './frame-hash.js';
import { createPort, type HostEnd, hasOneInput, portArenaBytes } from './host-end.js';
import { GUEST_OFFLOADS, takesLargeFrames, tunOffload } from './offload.js';
import { CapturedPort } from './ports/captured-port.js';
import { PORT_NUMBERS, type Port, type PortContext } from './ports/port.js';
import { BYTES_PER_TURN, controlQueue, isTransmit, pairOfQueue, receiveQueue } from './queues.js';
import { ReceiveQueue } from './receive-queue.js';
import { SteeredReceive } from './steered-receive.js';
import { TransmitHeader } from './transmit-header.js';

/** What a frame has beside its MTU: an Ethernet header and a VLAN tag. */
const LINK_BYTES = 18;

/** A guest that asks for longer would take its own network for dead. */
const CALL_HELD_US_MAX = 1_000_000;

/** What deals the frames of one input among pairs before a driver has said how, or if it can't. */
const OWN_RULE = {
  types: HASH_TYPES,
  key: Uint8Array.from({ length: HASH_KEY_BYTES }, (_, i) => (i * 101 + 59) & 255),
};

export interface NetHandlerOptions {
  readonly host: HostEnd;
  readonly pairs: number;
  readonly queueSize: number;
  readonly counters: SharedArrayBuffer;
  /** What the driver has set, and an eventfd that says so to every worker. Like a kick it is never
   *  read. */
  readonly control: ArrayBufferLike;
  readonly bellFd: number;
  /** Where frames are shown; undefined: nobody looks on. */
  readonly capture: SharedCapture | undefined;
}

/** What the control half tells all workers: what was negotiated; a frame for the host's end. */
export type NetMessage =
  | { readonly kind: 'features'; readonly features: bigint }
  | { readonly kind: 'announce'; readonly frame: Uint8Array };

/** The two queues of a pair and their host end. */
interface Pair {
  readonly receive: ReceiveQueue;
  readonly port: Port;
  readonly done: CompletionList;
  /** The front-end lets frames to the driver; whether the port knows. */
  enabled: boolean;
  attached: boolean;
}

class NetHandler implements QueueHandler {
  readonly #context: HandlerContext;
  readonly #options: NetHandlerOptions;
  readonly #counters: NetCounters;
  readonly #arena: Arena;
  readonly #header = new TransmitHeader();
  /** Made when their first ring starts: a worker has some of the pairs only. */
  readonly #pairs: (Pair | undefined)[];
  readonly #filter: FrameFilter;
  readonly #hash: FrameHash;
  readonly #steered: SteeredReceive;
  readonly #control: ControlQueue;
  readonly #state: ControlState;
  /** The state as this worker has put it into effect, and its version. */
  readonly #effective = ControlState.snapshot();
  #version = 0;
  #features = 0n;
  #controlQueue: number | undefined;

  constructor(context: HandlerContext) {
    this.#context = context;
    this.#options = context.options as NetHandlerOptions;
    const { host, pairs, queueSize, counters, control, bellFd, capture } = this.#options;
    this.#counters = new NetCounters(counters);
    const perPair =
      ReceiveQueue.arenaBytes(queueSize) +
      CompletionList.arenaBytes(queueSize) +
      portArenaBytes(host, queueSize);
    const shared =
      Arena.rounded(FrameFilter.arenaBytes) +
      Arena.rounded(FrameHash.arenaBytes) +
      SteeredReceive.arenaBytes(pairs);
    this.#arena = new Arena(pairs * perPair + shared);
    context.useArena(this.#arena.bytes);
    context.limitTurn(BYTES_PER_TURN);
    const ring = capture === undefined ? undefined : claimRing(capture);
    if (ring !== undefined) {
      context.useCapture(ring);
    }
    this.#pairs = Array.from({ length: pairs }, () => undefined);
    this.#filter = new FrameFilter(this.#arena);
    this.#hash = new FrameHash(this.#arena);
    this.#steered = new SteeredReceive({
      ...{ context, arena: this.#arena, filter: this.#filter, hash: this.#hash, pairs },
      queueAt: (pair) => this.#pairs[pair]?.receive,
    });
    this.#control = new ControlQueue(context, this.#counters);
    this.#state = new ControlState(control);
    this.#follow();
    context.watch(bellFd, this.#bellToken);
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
    const pair = Math.floor(tag / PORT_NUMBERS);
    this.#pairs[pair]?.port.completion(chain, tag % PORT_NUMBERS, result);
    if (this.#steered.steering && pair > 0) {
      // What was ordered for one queue before kept it from the order for all of them.
      this.#pairs[0]?.port.pump();
    }
  }

  event(token: number, hungUp: boolean): void {
    if (token === this.#bellToken) {
      this.#follow();
      return;
    }
    this.#pairs[Math.floor(token / PORT_NUMBERS)]?.port.event(token % PORT_NUMBERS, hungUp);
  }

  message(message: unknown): void {
    const said = message as NetMessage;
    if (said.kind === 'announce') {
      this.#pairs[0]?.port.announce?.(said.frame);
      return;
    }
    this.#features = said.features;
    this.#controlQueue = controlQueue(this.#options.pairs, said.features);
    this.#header.negotiated(said.features);
    this.#takeEffect();
  }

  started(queue: number, where: 'fresh' | 'resumed' | 'elsewhere'): void {
    if (queue === this.#controlQueue && where === 'fresh') {
      this.#state.reset(this.#features);
      this.#changed();
    }
    this.#pace(queue);
  }

  vringEnabled(queue: number, enabled: boolean): void {
    if (this.#carriesFrames(queue) && !isTransmit(queue)) {
      this.#pair(pairOfQueue(queue)).enabled = enabled;
      this.#attach();
    }
  }

  drain(queue: number): void {
    if (this.#carriesFrames(queue) && !isTransmit(queue)) {
      this.#pairs[pairOfQueue(queue)]?.receive.takeBack();
    } else if (this.#carriesFrames(queue)) {
      this.#pairs[pairOfQueue(queue)]?.port.drain?.(queue);
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
    if (queue === this.#controlQueue) {
      this.#controlled(batch, i, chain, queue);
    } else if (!this.#carriesFrames(queue)) {
      this.#context.commands.complete(chain, 0);
    } else if (isTransmit(queue)) {
      this.#transmit(batch, i, chain, queue);
    } else {
      this.#pair(pairOfQueue(queue)).receive.post(chain, batch.writableBytes(i));
    }
  }

  #controlled(batch: Batch, i: number, chain: number, queue: number): void {
    const card = { state: this.#state, features: this.#features, pairs: this.#options.pairs };
    const [readable, writable] = [batch.readableBytes(i), batch.writableBytes(i)];
    if (this.#control.serve(queue, chain, readable, writable, card)) {
      this.#changed();
    }
  }

  /** The state is another: here at once, in the other workers as soon as they wake up. */
  #changed(): void {
    this.#follow();
    native.eventfdSignal(this.#options.bellFd);
  }

  #follow(): void {
    const { version } = this.#state;
    if (version !== this.#version && this.#state.copyTo(this.#effective)) {
      this.#version = version;
      this.#takeEffect();
    }
  }

  get #bellToken(): number {
    return this.#options.pairs * PORT_NUMBERS;
  }

  #transmit(batch: Batch, i: number, chain: number, queue: number): void {
    const offset = headerBytesOf(this.#features);
    const frameBytes = batch.readableBytes(i) - offset;
    if (frameBytes < FRAME_BYTES_MIN || frameBytes > FRAME_BYTES_MAX) {
      this.#counters.dropped(queue, 'length');
    } else if (!this.#accept(batch, i, frameBytes)) {
      this.#counters.dropped(queue, 'header');
    } else {
      this.#pair(pairOfQueue(queue)).port.transmit(chain, offset, frameBytes, this.#header.words);
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
    const { queueSize, capture } = this.#options;
    const { filter, hash } = { filter: this.#filter, hash: this.#hash };
    const shared = { context: this.#context, arena: this.#arena, counters: this.#counters };
    const queue = receiveQueue(index);
    const receive = new ReceiveQueue({ ...shared, filter, hash, queue, queueSize });
    if (capture !== undefined) {
      receive.show(captureTag(0, true));
    }
    const done = new CompletionList(this.#context, this.#arena, queueSize);
    const firstNumber = index * PORT_NUMBERS;
    const steered = index === 0 ? this.#steered : receive;
    const own = { ...shared, receive: steered, done, firstNumber, queueSize };
    const made = { receive, port: this.#portOf(index, own), done, enabled: false, attached: false };
    this.#negotiated(made);
    this.#pairs[index] = made;
    return made;
  }

  /** A host's end with one input is the first pair's, and the others send there too. */
  #portOf(index: number, own: PortContext): Port {
    const { host, capture } = this.#options;
    if (index > 0 && hasOneInput(host)) {
      return this.#pair(0).port;
    }
    const plain = createPort(host, index, own);
    return capture === undefined ? plain : new CapturedPort(plain, own, 0);
  }

  /** What was negotiated, or what the driver has set since, is another. */
  #takeEffect(): void {
    const filtered = this.#controlQueue !== undefined;
    this.#filter.update(filtered ? this.#effective.filter : undefined);
    for (const pair of this.#pairs) {
      if (pair !== undefined) {
        this.#negotiated(pair);
      }
    }
    this.#attach();
    for (let queue = 0; queue < 2 * this.#options.pairs; queue++) {
      this.#pace(queue);
    }
  }

  /** Whether calls of a queue wait for each other (§5.1.6.5.8). */
  #pace(queue: number): void {
    if (this.#carriesFrames(queue)) {
      const direction = isTransmit(queue) ? 'transmit' : 'receive';
      const { maxPackets, maxUsecs } = this.#effective.coalescing(direction);
      this.#context.paceCalls(queue, maxPackets, Math.min(maxUsecs, CALL_HELD_US_MAX));
    }
  }

  #negotiated({ receive, port }: Pair): void {
    const merge = hasFeature(this.#features, VIRTIO_NET_F_MRG_RXBUF);
    const features = this.#features & (this.#effective.offloads | ~GUEST_OFFLOADS);
    const plainBytes = LINK_BYTES + Math.max(this.#effective.mtu, MTU_DEFAULT);
    const frameBytesMax = takesLargeFrames(features) ? FRAME_BYTES_MAX : plainBytes;
    receive.negotiated(headerBytesOf(this.#features), merge, frameBytesMax);
    port.setOffload?.(tunOffload(features));
  }

  /** A pair gets frames while its receive ring is enabled and the driver uses it. */
  #attach(): void {
    const { pairs } = this.#effective;
    const known = this.#controlQueue !== undefined && pairs !== undefined;
    const open = this.#pairs.map((pair, i) => (pair?.enabled ?? false) && (!known || i < pairs));
    const oneInput = hasOneInput(this.#options.host);
    this.#steer(open, oneInput);
    this.#pairs.forEach((pair, i) => {
      if (pair === undefined) {
        return;
      }
      pair.receive.open = open[i] as boolean;
      const alone = !oneInput && !this.#steered.steering;
      const attached = alone ? pair.receive.open : i === 0 && open.includes(true);
      if (attached !== pair.attached) {
        pair.attached = attached;
        if (i === 0 || !oneInput) {
          pair.port.attach(attached);
        }
      }
    });
  }

  /** How the driver wants frames dealt; it has not said: where they come in on one input, the same
   *  flow always to the same of its pairs. */
  #steer(open: readonly boolean[], oneInput: boolean): void {
    const { hashRule, steering } = this.#effective;
    const spread = oneInput && open.length > 1;
    this.#steered.steering = steering !== undefined || spread;
    const reports = hasFeature(this.#features, VIRTIO_NET_F_HASH_REPORT);
    const theirs = steering !== undefined || reports;
    const pairs = open.flatMap((isOpen, i) => (isOpen ? [i] : []));
    const dealt = Uint16Array.from(
      { length: HASH_QUEUES_MAX },
      (_, i) => pairs[i % pairs.length] ?? 0,
    );
    const own = { queues: dealt, unclassified: pairs[0] ?? 0 };
    this.#hash.update(theirs ? hashRule : OWN_RULE, steering ?? own);
  }
}

export const handlerFactory: HandlerFactory = {
  headerBytes: HEADER_BYTES,
  create: (context) => new NetHandler(context),
};
