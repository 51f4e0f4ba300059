// What a user can say about a disk. The command line and a library user come through the same
// schema.

import * as z from 'zod';

/** Bytes as people write them: 512, 64K, 10M, 2G, 1T. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)([KMGT]?)(?:i?B)?$/i.exec(text);
  if (match === null) {
    return undefined;
  }
  const exponent = ' KMGT'.indexOf((match[2] ?? '').toUpperCase() || ' ');
  const bytes = Number(match[1]) * 1024 ** exponent;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** VIRTIO 1.3 §2.7: a split ring has at most this many descriptors. */
const QUEUE_SIZE_MAX = 32768;
/** One queue for each CPU of a large guest; a ring costs memory and a slot in every turn. */
const QUEUES_MAX = 128;
/** Larger blocks than a page are beyond what Linux guests take. */
const BLOCK_SIZES = [512, 1024, 2048, 4096] as const;
/** GET_ID has 20 bytes (VIRTIO 1.3 §5.2.6.2). */
const SERIAL_BYTES_MAX = 20;

const isPowerOfTwo = (value: number) => (value & (value - 1)) === 0;

export const blkOptionsSchema = z.strictObject({
  image: z.string().min(1),
  create: z.int().min(512).optional(),
  readOnly: z.boolean().default(false),
  numQueues: z.int().min(1).max(QUEUES_MAX).default(1),
  queueSize: z
    .int()
    .min(2)
    .max(QUEUE_SIZE_MAX)
    .refine(isPowerOfTwo, 'must be a power of two')
    .default(1024),
  serial: z
    .string()
    .refine((text) => Buffer.byteLength(text) <= SERIAL_BYTES_MAX, 'is longer than 20 bytes')
    .default('vhost-ts'),
  blockSize: z.union(BLOCK_SIZES.map((size) => z.literal(size))).optional(),
  inOrder: z.boolean().default(false),
  iommu: z.boolean().default(false),
  postcopy: z.boolean().default(false),
  cache: z.enum(['writeback', 'writethrough', 'none']).default('writeback'),
  imageLock: z.enum(['open', 'running']).default('open'),
});

export type BlkOptions = z.infer<typeof blkOptionsSchema>;
