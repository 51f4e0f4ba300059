// What an author says about a device: data and a function that serves one chain. The same module is
// loaded by the control thread, which reads the data, and by each worker, which calls the function.

import type { z } from 'zod';
import type { HandlerFactory, VirtioDevice } from '../core/device.js';
import type { DescriptorChain } from '../core/virtqueue/descriptor-chain.js';

/** The device as its functions in a worker see it; one for each worker. */
export interface WorkerDevice<Options, State> {
  /** As the schema made them. */
  readonly options: Options;
  /** What `open` returned. It lives as long as the worker: front-ends come and go. */
  readonly state: State;
  /** The oldest chain kept on that queue, or undefined. */
  kept(queue: number): DescriptorChain | undefined;
  /** Calls `event` with `token` whenever `fd` becomes readable (`HandlerContext.watch`). */
  watch(fd: number, token: number): void;
  unwatch(token: number): void;
}

export interface DeviceDefinition<Schema extends z.ZodType, State> {
  /** `import.meta.url` of the module that exports the device: workers load it. */
  readonly module: string;
  /** Short name for logs; the module exports one device of that name. */
  readonly name: string;
  /** VIRTIO 1.3 §5: device type. */
  readonly virtioId: number;
  /** Virtqueues, 1 to 256. */
  readonly queues: number | ((options: z.output<Schema>) => number);
  /** Largest ring a driver may set up, a power of two; default 256. */
  readonly queueSizeMax?: number;
  /** The device's own feature bits (0 to 23 and 50 up); the ring's are added. Default 0n. */
  readonly features?: bigint | ((options: z.output<Schema>) => bigint);
  /** Offers VIRTIO_F_IN_ORDER: to a driver that takes it, a chain that is kept holds back those
   *  behind it, even completed ones. Default: unless there is `event`. */
  readonly inOrder?: boolean;
  /** Config space, little-endian; default none. Read-only for the driver. */
  readonly config?: (options: z.output<Schema>) => Uint8Array;
  /** What a user may set; default nothing. Plain data: it crosses to the workers. */
  readonly options?: Schema;

  // What follows runs in a worker: synchronous, and blocking nothing that can be watched instead.

  /** Makes the state, once in each worker. */
  open?(options: z.output<Schema>): State;
  /**
   * Serves one chain, which is given back to the driver on return with what was written as used
   * length, unless it was completed or `keep()` was called. A QueueError (a chain too short) gives
   * it back too and the queue goes on; every other error stops the device's queues.
   */
  process(
    queue: number,
    chain: DescriptorChain,
    device: WorkerDevice<z.output<Schema>, State>,
  ): void;
  /** A watched descriptor became readable, or hung up: then it is no longer watched. */
  event?(token: number, hungUp: boolean, device: WorkerDevice<z.output<Schema>, State>): void;
  /** The worker ends. */
  close?(device: WorkerDevice<z.output<Schema>, State>): void;
}

export interface DefinedDevice<Input = never> {
  /** Tells it from everything else a module may export, whichever copy of the library made it. */
  readonly kind: 'vhost-ts device';
  readonly name: string;
  readonly virtioId: number;
  /** The device with these options. Throws OptionsError. */
  create(options?: Input): VirtioDevice;
  /** The data half; workers take it from the module. */
  readonly handlerFactory: HandlerFactory;
}
