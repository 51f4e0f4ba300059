// From the flags of `vhost-ts blk` to a served disk. Loaded only when there is something to serve.

import { BlkDevice } from '../devices/blk/device.js';
import { ImageError } from '../devices/blk/image.js';
import { type BlkOptions, blkOptionsSchema, parseSize } from '../devices/blk/options.js';
import { type ExitReason, UserError } from './exit-codes.js';
import { flagIssues, given } from './option-issues.js';
import { loggerOf, type ServeFlags, serve } from './serve.js';

export interface BlkFlags extends ServeFlags {
  readonly image: string;
  readonly create?: string | undefined;
  readonly 'read-only': boolean;
  readonly 'num-queues': number;
  readonly 'queue-size': number;
  readonly serial: string;
  readonly 'block-size'?: number | undefined;
  readonly cache: string;
  readonly 'image-lock': string;
  readonly 'in-order': boolean;
  readonly iommu: boolean;
  readonly postcopy: boolean;
  readonly workers: number;
}

const EXIT_REASONS: Readonly<Record<ImageError['reason'], ExitReason>> = {
  unusable: 'input',
  locked: 'input',
  permission: 'permission',
  option: 'usage',
};

/** A driver that sleeps until its call takes this long to come back with the next requests: it is
 *  woken in 50 us on a virtual machine, and prepares 32 of them. With 32 us every such look was in
 *  vain. The page cache answers at once; what runs at a disk has a limit of its own. */
const POLL_US = 100;

/** What to do, where the error's own sentence does not say it in brackets. */
const ADVICE: Readonly<Record<ImageError['reason'], string>> = {
  unusable: '; give --image a raw image file or a block device',
  locked: '; stop that process or choose another --image',
  permission: '; run as a user who may',
  option: '',
};

export async function runBlk(flags: BlkFlags): Promise<void> {
  const log = loggerOf('blk', flags);
  const device = openDevice(parseOptions(flags));
  try {
    const workers = Math.min(flags.workers, flags['num-queues']);
    await serve(flags, {
      served: [{ device, socket: flags.socket, fd: flags.fd, workers }],
      log,
      pollUs: POLL_US,
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
  const options = given({
    image: flags.image,
    readOnly: flags['read-only'],
    numQueues: flags['num-queues'],
    queueSize: flags['queue-size'],
    serial: flags.serial,
    cache: flags.cache,
    imageLock: flags['image-lock'],
    inOrder: flags['in-order'],
    iommu: flags.iommu,
    postcopy: flags.postcopy,
    create,
    blockSize: flags['block-size'],
  });
  const parsed = blkOptionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new UserError('usage', flagIssues(parsed.error));
  }
  return parsed.data;
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
