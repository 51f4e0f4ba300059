// The data half of a defined device: makes a DescriptorChain of each request, calls the author's
// function and completes what it leaves.

import type { z } from 'zod';
import type { HandlerContext, HandlerFactory, QueueHandler } from '../core/device.js';
import type { Batch } from '../core/virtqueue/batch.js';
import { type ChainBackend, DescriptorChain } from '../core/virtqueue/descriptor-chain.js';
import { QueueError } from '../core/virtqueue/queue-error.js';
import type { DeviceDefinition, WorkerDevice } from './definition.js';

export class ChainHandler<Schema extends z.ZodType, State> implements QueueHandler {
  readonly #definition: DeviceDefinition<Schema, State>;
  readonly #backend: ChainBackend;
  readonly #device: WorkerDevice<z.output<Schema>, State>;
  /** By queue, oldest first. */
  readonly #kept = new Map<number, DescriptorChain[]>();

  constructor(definition: DeviceDefinition<Schema, State>, context: HandlerContext) {
    const options = context.options as z.output<Schema>;
    this.#definition = definition;
    this.#backend = {
      copyOut: context.copyOut,
      copyIn: context.copyIn,
      complete: (chain, usedBytes) => context.commands.complete(chain, usedBytes),
      keep: (chain) => this.#keep(chain),
    };
    this.#device = {
      options,
      state: definition.open?.(options) as State,
      kept: (queue) => this.#oldestKept(queue),
      watch: context.watch,
      unwatch: context.unwatch,
    };
  }

  requests(batch: Batch): void {
    for (let i = 0; i < batch.count; i++) {
      const chain = new DescriptorChain(this.#backend, {
        chain: batch.chain(i),
        readableBytes: batch.readableBytes(i),
        writableBytes: batch.writableBytes(i),
      });
      this.#serve(chain);
    }
  }

  /** Nothing here orders operations that would tell. */
  completion(): void {}

  event(token: number, hungUp: boolean): void {
    this.#definition.event?.(token, hungUp, this.#device);
  }

  drain(queue: number): void {
    for (const chain of this.#kept.get(queue) ?? []) {
      if (!chain.completed) {
        chain.complete();
      }
    }
    this.#kept.delete(queue);
  }

  close(): void {
    this.#definition.close?.(this.#device);
  }

  #serve(chain: DescriptorChain): void {
    try {
      this.#definition.process(chain.queue, chain, this.#device);
    } catch (error) {
      // What a driver put into the ring must not stop the device for good.
      if (!(error instanceof QueueError)) {
        throw error;
      }
      if (!chain.completed) {
        chain.complete();
      }
    }
    if (!chain.kept && !chain.completed) {
      chain.complete();
    }
  }

  #keep(chain: DescriptorChain): void {
    const kept = this.#kept.get(chain.queue);
    if (kept === undefined) {
      this.#kept.set(chain.queue, [chain]);
    } else {
      kept.push(chain);
    }
  }

  #oldestKept(queue: number): DescriptorChain | undefined {
    const kept = this.#kept.get(queue) ?? [];
    while (kept[0]?.completed) {
      kept.shift();
    }
    return kept[0];
  }
}

export function chainHandlerFactory<Schema extends z.ZodType, State>(
  definition: DeviceDefinition<Schema, State>,
): HandlerFactory {
  return { headerBytes: 0, create: (context) => new ChainHandler(definition, context) };
}
