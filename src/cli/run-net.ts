// From the flags of `vhost-ts net` to a served network card. Loaded only when there is something to
// serve.

import type { z } from 'zod';
import { NetDevice } from '../devices/net/device.js';
import { HostEndError } from '../devices/net/host-end-error.js';
import { type NetOptions, netOptionsSchema } from '../devices/net/options.js';
import { type ExitReason, UserError } from './exit-codes.js';
import type { LogFormat, LogLevel } from './log-choices.js';
import { createLogger } from './logger.js';
import { serve } from './serve.js';

export interface NetFlags {
  readonly socket?: string | undefined;
  readonly fd?: number | undefined;
  readonly client: boolean;
  readonly once: boolean;
  readonly tap?: string | undefined;
  readonly 'tap-fd'?: number[] | undefined;
  readonly stream?: string | undefined;
  readonly 'stream-listen'?: string | undefined;
  readonly dgram?: string | undefined;
  readonly null: boolean;
  readonly mac?: string | undefined;
  readonly mtu?: number | undefined;
  readonly 'queue-pairs': number;
  readonly 'queue-size': number;
  readonly 'queue-num': 'queues' | 'pairs';
  readonly workers: number;
  readonly aio: 'io_uring' | 'threads';
  readonly 'poll-us': number;
  readonly 'log-level': LogLevel;
  readonly 'log-format': LogFormat;
}

const EXIT_REASONS: Readonly<Record<HostEndError['reason'], ExitReason>> = {
  unusable: 'input',
  permission: 'permission',
  option: 'usage',
};

export async function runNet(flags: NetFlags): Promise<void> {
  const log = createLogger({
    name: 'net',
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
      workers: Math.min(flags.workers, flags['queue-pairs']),
      aio: flags.aio,
      pollUs: flags['poll-us'],
      onReload: () => logCounts(device, log.info.bind(log)),
    });
  } finally {
    device.close();
  }
}

/** SIGHUP asks what became of the frames. */
function logCounts(device: NetDevice, info: (fields: object, message: string) => void): void {
  for (let queue = 0; queue < device.numQueues(); queue++) {
    info({ queue, ...device.counts(queue) }, 'frames');
  }
}

/** Flags that are not set are left out: the schema's defaults are for those. */
function parseOptions(flags: NetFlags): NetOptions {
  const given = {
    null: flags.null,
    tap: flags.tap,
    tapFds: flags['tap-fd'],
    stream: flags.stream,
    streamListen: flags['stream-listen'],
    dgram: flags.dgram?.split(','),
    mac: flags.mac,
    mtu: flags.mtu,
    queuePairs: flags['queue-pairs'],
    queueSize: flags['queue-size'],
    queueNum: flags['queue-num'],
  };
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  const parsed = netOptionsSchema.safeParse(Object.fromEntries(set));
  if (!parsed.success) {
    throw new UserError('usage', describe(parsed.error));
  }
  return parsed.data;
}

/** `--queue-pairs: a socket carries one queue pair` */
function describe(error: z.ZodError): string {
  return error.issues
    .map((issue) => `--${flagName(String(issue.path[0]))}: ${issue.message}`)
    .join('; ');
}

function flagName(option: string): string {
  return option === 'tapFds'
    ? 'tap-fd'
    : option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function openDevice(options: NetOptions): NetDevice {
  try {
    return new NetDevice(options);
  } catch (error) {
    if (error instanceof HostEndError) {
      throw new UserError(EXIT_REASONS[error.reason], error.message);
    }
    throw error;
  }
}
