// From the flags of `vhost-ts vsock` to served sockets. Loaded only when there is something to
// serve.

import type { z } from 'zod';
import { VsockDevice } from '../devices/vsock/device.js';
import { type VsockOptions, vsockOptionsSchema } from '../devices/vsock/options.js';
import { UdsError } from '../devices/vsock/uds-listener.js';
import { UserError } from './exit-codes.js';
import type { LogFormat, LogLevel } from './log-choices.js';
import { createLogger } from './logger.js';
import { serve } from './serve.js';

export interface VsockFlags {
  readonly socket?: string | undefined;
  readonly fd?: number | undefined;
  readonly client: boolean;
  readonly once: boolean;
  readonly 'guest-cid': number;
  readonly 'uds-path'?: string | undefined;
  readonly 'tx-buffer-size'?: number | undefined;
  readonly aio: 'io_uring' | 'threads';
  readonly 'poll-us': number;
  readonly 'log-level': LogLevel;
  readonly 'log-format': LogFormat;
}

/** Option of the schema to the flag it came from. */
const FLAG_NAMES: Readonly<Record<string, string>> = {
  guestCid: 'guest-cid',
  udsPath: 'uds-path',
  bufferBytes: 'tx-buffer-size',
};

export async function runVsock(flags: VsockFlags): Promise<void> {
  const log = createLogger({
    name: 'vsock',
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
      // One guest, one pair of queues.
      workers: 1,
      aio: flags.aio,
      pollUs: flags['poll-us'],
    });
  } finally {
    device.close();
  }
}

function parseOptions(flags: VsockFlags): VsockOptions {
  const parsed = vsockOptionsSchema.safeParse({
    guestCid: flags['guest-cid'],
    ...(flags['uds-path'] === undefined ? {} : { udsPath: flags['uds-path'] }),
    ...(flags['tx-buffer-size'] === undefined ? {} : { bufferBytes: flags['tx-buffer-size'] }),
  });
  if (!parsed.success) {
    throw new UserError('usage', describe(parsed.error));
  }
  return parsed.data;
}

/** `--guest-cid: Too small: expected number to be >=3` */
function describe(error: z.ZodError): string {
  return error.issues
    .map(({ path, message }) => `--${FLAG_NAMES[String(path[0])]}: ${message}`)
    .join('; ');
}

function openDevice(options: VsockOptions): VsockDevice {
  try {
    return new VsockDevice(options);
  } catch (error) {
    if (error instanceof UdsError) {
      const reason = error.code === 'EACCES' || error.code === 'EPERM' ? 'permission' : 'socket';
      throw new UserError(reason, `${error.message}; choose another --uds-path`);
    }
    throw error;
  }
}
