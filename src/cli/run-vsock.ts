// From the flags of `vhost-ts vsock` to served sockets. Loaded only when there is something to
// serve.

import { VsockDevice } from '../devices/vsock/device.js';
import { EndError } from '../devices/vsock/end-error.js';
import { type VsockOptions, vsockOptionsSchema } from '../devices/vsock/options.js';
import { SiblingDoors } from '../devices/vsock/sibling-doors.js';
import type { SiblingOptions } from '../devices/vsock/sibling-end.js';
import { UserError } from './exit-codes.js';
import { flagIssues, given } from './option-issues.js';
import { loggerOf, type Served, type ServeFlags, serve } from './serve.js';
import { parseForward, parseGuest, parseListen, parsePorts } from './vsock-ends.js';

export interface VsockFlags extends ServeFlags {
  /** Either this and a socket, or guests. */
  readonly 'guest-cid'?: number | undefined;
  readonly guest?: readonly string[] | undefined;
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
  const guests = guestsOf(flags);
  const ends = endsOf(flags, guests);
  const doors = new SiblingDoors(guests.map(({ cid, groups }) => ({ guestCid: cid, groups })));
  const devices: VsockDevice[] = [];
  try {
    const served: Served[] = [];
    for (const guest of guests) {
      const device = openDevice(parseOptions(flags, ends, guest), doors.of(guest.cid));
      devices.push(device);
      // One guest, one pair of queues: one worker.
      served.push({ device, socket: guest.socket, fd: flags.fd, workers: 1 });
    }
    await serve(flags, { served, log });
  } finally {
    for (const device of devices) device.close();
    doors.close();
  }
}

interface Guest {
  readonly socket: string | undefined;
  readonly cid: number;
  readonly groups: readonly string[];
  readonly udsPath: string | undefined;
}

function guestsOf(flags: VsockFlags): readonly Guest[] {
  if (flags.guest === undefined) {
    const { socket, 'guest-cid': cid, 'uds-path': udsPath } = flags;
    return [{ socket, cid: cid as number, groups: [], udsPath }];
  }
  const guests = flags.guest.map(parseGuest);
  if (new Set(guests.map(({ cid }) => cid)).size < guests.length) {
    throw new UserError('usage', '--guest: a CID is given twice');
  }
  if (new Set(guests.map(({ socket }) => socket)).size < guests.length) {
    throw new UserError('usage', '--guest: a socket is given twice');
  }
  return guests;
}

interface Ends {
  readonly forward: readonly ReturnType<typeof parseForward>[];
  readonly listen: readonly ReturnType<typeof parseListen>[];
  readonly 'forward-listen': ReturnType<typeof parsePorts>;
}

/** Ends of all guests: each says whose it is, or is everybody's, which a listener can't be. */
function endsOf(flags: VsockFlags, guests: readonly Guest[]): Ends {
  const parentPorts = flags['forward-listen'];
  const ends: Ends = {
    forward: flags.forward?.map(parseForward) ?? [],
    listen: flags.listen?.map(parseListen) ?? [],
    'forward-listen': parentPorts === undefined ? [] : parsePorts(parentPorts),
  };
  for (const [flag, list] of Object.entries(ends) as [keyof Ends, Ends[keyof Ends]][]) {
    for (const { cid } of list) {
      if (cid === undefined && flag !== 'forward' && guests.length > 1) {
        throw new UserError('usage', `--${flag}: say whose port it is, as CID:PORT`);
      }
      if (cid !== undefined && !guests.some((guest) => guest.cid === cid)) {
        throw new UserError('usage', `--${flag}: no guest has the CID ${cid}`);
      }
    }
  }
  return ends;
}

function parseOptions(flags: VsockFlags, ends: Ends, guest: Guest): VsockOptions {
  const own = ({ cid }: { readonly cid: number | undefined }) =>
    cid === undefined || cid === guest.cid;
  const options = given({
    guestCid: guest.cid,
    udsPath: guest.udsPath,
    forwards: ends.forward.filter(own).map(({ port, to }) => ({ port, to })),
    listens: ends.listen.filter(own).map(({ at, guestPort }) => ({ at, guestPort })),
    parentCid: flags['forward-cid'],
    parentPorts: ends['forward-listen'].filter(own).map(({ port }) => port),
    bufferBytes: flags['tx-buffer-size'],
  });
  const parsed = vsockOptionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new UserError('usage', flagIssues(parsed.error, FLAG_NAMES));
  }
  return parsed.data;
}

function openDevice(options: VsockOptions, siblings: SiblingOptions | undefined): VsockDevice {
  try {
    return new VsockDevice(options, siblings);
  } catch (error) {
    if (error instanceof EndError) {
      const reason = error.code === 'EACCES' || error.code === 'EPERM' ? 'permission' : 'socket';
      throw new UserError(reason, `${error.message}; choose another`);
    }
    throw error;
  }
}
