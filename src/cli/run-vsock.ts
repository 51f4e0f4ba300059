// From the flags of `vhost-ts vsock` to served sockets. Loaded only when there is something to
// serve.

import { VsockDevice } from '../devices/vsock/device.js';
import { EndError } from '../devices/vsock/end-error.js';
import { type VsockOptions, vsockOptionsSchema } from '../devices/vsock/options.js';
import { UserError } from './exit-codes.js';
import { flagIssues, given } from './option-issues.js';
import { loggerOf, type ServeFlags, serve } from './serve.js';
import { parseForward, parseListen, parsePorts } from './vsock-ends.js';

export interface VsockFlags extends ServeFlags {
  readonly 'guest-cid': number;
  readonly 'uds-path'?: string | undefined;
  readonly forward?: readonly string[] | undefined;
  readonly listen?: readonly string[] | undefined;
  readonly 'forward-cid'?: number | undefined;
  readonly 'forward-listen'?: string | undefined;
  readonly 'tx-buffer-size'?: number | undefined;
}

/** Options whose flag has another name. */
const FLAG_NAMES = {
  forwards: 'forward',
  listens: 'listen',
  parentCid: 'forward-cid',
  parentPorts: 'forward-listen',
  bufferBytes: 'tx-buffer-size',
};

export async function runVsock(flags: VsockFlags): Promise<void> {
  const log = loggerOf('vsock', flags);
  const device = openDevice(parseOptions(flags));
  try {
    // One guest, one pair of queues: one worker.
    const served = [{ device, socket: flags.socket, fd: flags.fd, workers: 1 }];
    await serve(flags, { served, log });
  } finally {
    device.close();
  }
}

function parseOptions(flags: VsockFlags): VsockOptions {
  const parentPorts = flags['forward-listen'];
  const options = given({
    guestCid: flags['guest-cid'],
    udsPath: flags['uds-path'],
    forwards: flags.forward?.map(parseForward),
    listens: flags.listen?.map(parseListen),
    parentCid: flags['forward-cid'],
    parentPorts: parentPorts === undefined ? undefined : parsePorts(parentPorts),
    bufferBytes: flags['tx-buffer-size'],
  });
  const parsed = vsockOptionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new UserError('usage', flagIssues(parsed.error, FLAG_NAMES));
  }
  return parsed.data;
}

function openDevice(options: VsockOptions): VsockDevice {
  try {
    return new VsockDevice(options);
  } catch (error) {
    if (error instanceof EndError) {
      const reason = error.code === 'EACCES' || error.code === 'EPERM' ? 'permission' : 'socket';
      throw new UserError(reason, `${error.message}; choose another`);
    }
    throw error;
  }
}
