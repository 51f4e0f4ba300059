// From the flags of `vhost-ts net` to a served network card. Loaded only when there is something to
// serve.

import type { Log } from '../core/index.js';
import { NetDevice } from '../devices/net/device.js';
import { HostEndError } from '../devices/net/host-end-error.js';
import { type NetOptions, netOptionsSchema, workersOf } from '../devices/net/options.js';
import { type ExitReason, UserError } from './exit-codes.js';
import { flagIssues, given } from './option-issues.js';
import { loggerOf, type ServeFlags, serve } from './serve.js';

export interface NetFlags extends ServeFlags {
  readonly tap?: string | undefined;
  readonly 'tap-persist': boolean;
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
  readonly pcap?: string | undefined;
  readonly 'pcap-limit'?: number | undefined;
  readonly workers: number;
}

export const HOST_END_EXIT_REASONS: Readonly<Record<HostEndError['reason'], ExitReason>> = {
  unusable: 'input',
  permission: 'permission',
  option: 'usage',
};

/** Options whose flag has another name. */
const FLAG_NAMES = { tapFds: 'tap-fd', tapPersist: 'tap-persist', pcapLimitMib: 'pcap-limit' };

export async function runNet(flags: NetFlags): Promise<void> {
  const log = loggerOf('net', flags);
  const options = parseOptions(flags);
  const device = openDevice(options, log);
  try {
    const workers = workersOf(options);
    await serve(flags, {
      served: [{ device, socket: flags.socket, fd: flags.fd, workers }],
      log,
      onReload: () => logCounts(device, log),
    });
  } finally {
    await device.close();
  }
}

/** SIGHUP asks what became of the frames. */
function logCounts(device: NetDevice, log: Log): void {
  for (let queue = 0; queue < device.numQueues(); queue++) {
    log.info({ queue, ...device.counts(queue) }, 'frames');
  }
}

function parseOptions(flags: NetFlags): NetOptions {
  const options = given({
    null: flags.null,
    tap: flags.tap,
    tapPersist: flags['tap-persist'],
    tapFds: flags['tap-fd'],
    stream: flags.stream,
    streamListen: flags['stream-listen'],
    dgram: flags.dgram?.split(','),
    mac: flags.mac,
    mtu: flags.mtu,
    queuePairs: flags['queue-pairs'],
    queueSize: flags['queue-size'],
    queueNum: flags['queue-num'],
    workers: flags.workers,
    pcap: flags.pcap,
    pcapLimitMib: flags['pcap-limit'],
  });
  const parsed = netOptionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new UserError('usage', flagIssues(parsed.error, FLAG_NAMES));
  }
  return parsed.data;
}

function openDevice(options: NetOptions, log: Log): NetDevice {
  try {
    return new NetDevice(options, (message) => log.warn({}, message));
  } catch (error) {
    if (error instanceof HostEndError) {
      throw new UserError(HOST_END_EXIT_REASONS[error.reason], error.message);
    }
    throw error;
  }
}
