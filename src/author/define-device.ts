// From a definition to a device: the control half is read off the definition, the data half is the
// definition's own module, loaded again in each worker.

import type { z } from 'zod';
import type { DataHalf, VirtioDevice } from '../core/device.js';
import { RING_FEATURES, VIRTIO_F_IN_ORDER, VIRTIO_F_RING_RESET } from '../core/protocol/index.js';
import { chainHandlerFactory } from './chain-handler.js';
import type { DefinedDevice, DeviceDefinition } from './definition.js';
import { OptionsError } from './options-error.js';

/** What QEMU gives its own small devices at most. */
const QUEUE_SIZE_MAX_DEFAULT = 256;
/** vhost-user carries the vring index in 8 bits. */
const QUEUES_MAX = 256;
/** VIRTIO 1.3 §2.7. */
const RING_SIZE_MAX = 32768;
/** VIRTIO 1.3 §2.2: bits 24 to 49 belong to the queue and the transport. */
const RESERVED_FEATURES = ((1n << 50n) - 1n) & ~((1n << 24n) - 1n);

/**
 * Makes a device of a definition. The module that calls it exports the result:
 *
 *     export const device = defineDevice({ module: import.meta.url, name: 'zero', virtioId: 4,
 *       queues: 1, process: (_, { writer }) => writer.write(new Uint8Array(writer.available)) });
 *
 * Throws RangeError for a definition no driver could use.
 */
export function defineDevice<Schema extends z.ZodType = z.ZodType<unknown>, State = undefined>(
  definition: DeviceDefinition<Schema, State>,
): DefinedDevice<z.input<Schema>> {
  const { name, virtioId, queueSizeMax = QUEUE_SIZE_MAX_DEFAULT } = definition;
  if (queueSizeMax < 1 || queueSizeMax > RING_SIZE_MAX || (queueSizeMax & (queueSizeMax - 1)) > 0) {
    throw new RangeError(
      `device ${name}: queueSizeMax ${queueSizeMax} is no power of two <= 32768`,
    );
  }
  return {
    kind: 'vhost-ts device',
    name,
    virtioId,
    handlerFactory: chainHandlerFactory(definition),
    create: (options) => new AuthorDevice(definition, parseOptions(definition.options, options)),
  };
}

function parseOptions<Schema extends z.ZodType>(
  schema: Schema | undefined,
  options: unknown = {},
): z.output<Schema> {
  if (schema === undefined) {
    const known = Object.keys(options as object);
    if (known.length > 0) {
      throw new OptionsError(
        known.map((option) => ({ option, message: 'there is no such option' })),
      );
    }
    return undefined as z.output<Schema>;
  }
  const parsed = schema.safeParse(options);
  if (!parsed.success) {
    throw new OptionsError(parsed.error.issues.map(issueOf));
  }
  return parsed.data;
}

/** zod names keys it does not know apart from the path. */
function issueOf(issue: z.core.$ZodIssue): { option: string; message: string } {
  const path = issue.code === 'unrecognized_keys' ? issue.keys : issue.path;
  return { option: path.map(String).join('.') || 'options', message: issue.message };
}

class AuthorDevice<Schema extends z.ZodType, State> implements VirtioDevice {
  readonly name: string;
  readonly virtioId: number;
  readonly #definition: DeviceDefinition<Schema, State>;
  readonly #options: z.output<Schema>;
  readonly #queues: number;
  readonly #features: bigint;
  readonly #config: Uint8Array;

  constructor(definition: DeviceDefinition<Schema, State>, options: z.output<Schema>) {
    const { name, virtioId, queues, features = 0n, config } = definition;
    // Only an event can end a chain long after those behind it; a driver that relies on the order
    // would wait for it.
    const { inOrder = definition.event === undefined } = definition;
    this.name = name;
    this.virtioId = virtioId;
    this.#definition = definition;
    this.#options = options;
    this.#queues = typeof queues === 'number' ? queues : queues(options);
    const own = typeof features === 'bigint' ? features : features(options);
    if (!Number.isInteger(this.#queues) || this.#queues < 1 || this.#queues > QUEUES_MAX) {
      throw new RangeError(`device ${name}: ${this.#queues} queues`);
    }
    if ((own & RESERVED_FEATURES) !== 0n || own < 0n || own >> 64n !== 0n) {
      throw new RangeError(`device ${name}: features 0x${own.toString(16)} hold reserved bits`);
    }
    const ordered = inOrder ? VIRTIO_F_IN_ORDER : 0n;
    this.#features = own | RING_FEATURES | VIRTIO_F_RING_RESET | ordered;
    this.#config = config?.(options) ?? new Uint8Array(0);
  }

  numQueues(): number {
    return this.#queues;
  }

  maxQueueSize(): number {
    return this.#definition.queueSizeMax ?? QUEUE_SIZE_MAX_DEFAULT;
  }

  features(): bigint {
    return this.#features;
  }

  protocolFeatures(): bigint {
    return 0n;
  }

  getConfig(offset: number, size: number): Uint8Array {
    return this.#config.slice(offset, offset + size);
  }

  dataHalf(): DataHalf {
    const { module, name } = this.#definition;
    return { moduleUrl: module, device: name, options: this.#options };
  }
}
