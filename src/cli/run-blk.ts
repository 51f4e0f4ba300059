// From the flags of `vhost-ts blk` to a served disk. Loaded only when there is something to serve.

import type { z } from 'zod';
import { BlkDevice } from '../devices/blk/device.js';
import { ImageError } from '../devices/blk/image.js';
import { type BlkOptions, blkOptionsSchema, parseSize } from '../devices/blk/options.js';
import { type ExitReason, UserError } from './exit-codes.js';
import type { LogFormat, LogLevel } from './log-choices.js';
import { createLogger } from './logger.js';
import { serve } from './serve.js';

export interface BlkFlags {
  readonly socket?: string | undefined;
  readonly fd?: number | undefined;
  readonly client: boolean;
  readonly once: boolean;
  readonly image: string;
  readonly create?: string | undefined;
  readonly 'read-only': boolean;
  readonly 'num-queues': number;
  readonly 'queue-size': number;
  readonly serial: string;
  readonly 'block-size'?: number | undefined;
  readonly cache: string;
  readonly 'image-lock': string;
  readonly iommu: boolean;
  readonly postcopy: boolean;
  readonly workers: number;
  readonly aio: 'io_uring' | 'threads';
  readonly 'poll-us': number;
  readonly 'log-level': LogLevel;
  readonly 'log-format': LogFormat;
}

const EXIT_REASONS: Readonly<Record<ImageError['reason'], ExitReason>> = {
  unusable: 'input',
  locked: 'input',
  permission: 'permission',
  option: 'usage',
};

/** What to do, where the error's own sentence does not say it in brackets. */
const ADVICE: Readonly<Record<ImageError['reason'], string>> = {
  unusable: '; give --image a raw image file or a block device',
  locked: '; stop that process or choose another --image',
  permission: '; run as a user who may',
  option: '',
};

export async function runBlk(flags: BlkFlags): Promise<void> {
  const log = createLogger({
    name: 'blk',
    level: flags['log-level'],
    format: flags['log-format'],
  });
  const device = openDevice(parseOptions(flags));
  try {
    await serve({
      device,
      log,
      socket: flags.socket,
      fd: flags.fd,
      client: flags.client,
      once: flags.once,
      workers: Math.min(flags.workers, flags['num-queues']),
      aio: flags.aio,
      pollUs: flags['poll-us'],
      onReload: () => {
        const grown = device.refresh();
        log.info({ capacityBytes: device.capacityBytes, grown }, 'image measured again');
      },
    });
  } finally {
    device.close();
  }
}

function parseOptions(flags: BlkFlags): BlkOptions {
  const create = flags.create === undefined ? undefined : parseSize(flags.create);
  if (flags.create !== undefined && create === undefined) {
    throw new UserError('usage', `--create ${flags.create}: not a size like 512, 64K or 10G`);
  }
  const parsed = blkOptionsSchema.safeParse({
    image: flags.image,
    readOnly: flags['read-only'],
    numQueues: flags['num-queues'],
    queueSize: flags['queue-size'],
    serial: flags.serial,
    cache: flags.cache,
    imageLock: flags['image-lock'],
    iommu: flags.iommu,
    postcopy: flags.postcopy,
    ...(create === undefined ? {} : { create }),
    ...(flags['block-size'] === undefined ? {} : { blockSize: flags['block-size'] }),
  });
  if (!parsed.success) {
    throw new UserError('usage', describe(parsed.error));
  }
  return parsed.data;
}

/** `--num-queues: Too big: expected number to be <=128` */
function describe(error: z.ZodError): string {
  return error.issues
    .map((issue) => `--${flagName(String(issue.path[0]))}: ${issue.message}`)
    .join('; ');
}

function flagName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function openDevice(options: BlkOptions): BlkDevice {
  try {
    return new BlkDevice(options);
  } catch (error) {
    if (error instanceof ImageError) {
      const advice = error.message.endsWith(')') ? '' : ADVICE[error.reason];
      throw new UserError(EXIT_REASONS[error.reason], `${error.message}${advice}`);
    }
    throw error;
  }
}
