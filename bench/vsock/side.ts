import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { loadFlags, runLoadProgram } from '../common/load-program.js';
import {
  type Child,
  type CommandLine,
  pinned,
  start,
  stop,
  untilListening,
} from '../common/processes.js';
import type { BenchCase, PeerName } from './cases.js';
import type { Sample } from './report.js';

/** The device, or what stands in its place. */
export type SideName = 'vsock' | PeerName;

export interface Environment {
  /** Where sockets live, for one run each. */
  readonly directory: string;
  readonly loadBinary: string;
  readonly vhostTs: string;
  readonly seconds: number;
  /** CPU of the load generator, and of what is measured. */
  readonly pins: { readonly load: number; readonly daemon: number } | undefined;
}

const WARMUP_SECONDS = 0.25;
const GUEST_CID = 42;
const SOCAT_BLOCK_BYTES = 65_536;
/** Connections that wait to be accepted, of the 64 that come at once. */
const SOCAT_BACKLOG = 128;

interface Place {
  /** Of the vhost-user session. */
  readonly socket: string;
  /** The device's host end, or where socat listens. */
  readonly path: string;
  /** Where socat connects to. */
  readonly listenPath: string;
}

/** What runs between the two ends; nothing for a plain pair. */
export function commandOf(
  side: SideName,
  place: Place,
  vhostTs: string,
  streams: number,
): CommandLine | undefined {
  if (side === 'pair') {
    return undefined;
  }
  if (side === 'vsock') {
    const args = [vhostTs, 'vsock', '--socket', place.socket, '--uds-path', place.path];
    args.push('--guest-cid', String(GUEST_CID), '--log-level', 'warn');
    return { command: process.execPath, args };
  }
  const fork = streams > 1 ? ',fork' : '';
  const listen = `UNIX-LISTEN:${place.path},backlog=${SOCAT_BACKLOG}${fork}`;
  const block = side === 'socat-64k' ? ['-b', String(SOCAT_BLOCK_BYTES)] : [];
  return { command: 'socat', args: [...block, listen, `UNIX-CONNECT:${place.listenPath}`] };
}

const PEER_OF: Readonly<Record<SideName, string>> = {
  vsock: 'vsock',
  pair: 'pair',
  socat: 'relay',
  'socat-64k': 'relay',
};

export function loadArguments(
  benchCase: BenchCase,
  side: SideName,
  place: Place,
  environment: Environment,
  daemonPid: number | undefined,
): string[] {
  return loadFlags({
    peer: PEER_OF[side],
    work: benchCase.work,
    streams: benchCase.streams,
    ...benchCase.flags,
    socket: place.socket,
    path: place.path,
    'listen-path': place.listenPath,
    seconds: environment.seconds,
    warmup: WARMUP_SECONDS,
    pin: environment.pins?.load,
    'far-pin': environment.pins?.daemon,
    'daemon-pid': daemonPid,
  });
}

/** One run of a case, with a process of its own in between. */
export async function measureSide(
  benchCase: BenchCase,
  environment: Environment,
  side: SideName,
): Promise<Sample> {
  const directory = mkdtempSync(join(environment.directory, 'run-'));
  const place = {
    socket: join(directory, 's'),
    path: join(directory, 'p'),
    listenPath: join(directory, 'l'),
  };
  const line = commandOf(side, place, environment.vhostTs, benchCase.streams);
  let child: Child | undefined;
  try {
    if (line !== undefined) {
      child = start(pinned(line, environment.pins?.daemon));
      await untilListening(child, side === 'vsock' ? place.socket : place.path);
    }
    // A forking socat's children are not seen in its own CPU time.
    const pid = side === 'vsock' || benchCase.streams === 1 ? child?.pid : undefined;
    const args = loadArguments(benchCase, side, place, environment, pid);
    return (await runLoadProgram(
      `${benchCase.name} ${side}`,
      environment.loadBinary,
      args,
    )) as Sample;
  } finally {
    if (child !== undefined) await stop(child);
    rmSync(directory, { recursive: true, force: true });
  }
}
