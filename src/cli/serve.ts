// From devices to a running process: listeners, signals, the end.

import {
  connectToPath,
  Daemon,
  ListenError,
  type Listener,
  type Log,
  listenOnFd,
  listenOnPath,
  type PoolShare,
  type VirtioDevice,
} from '../core/index.js';
import { EXIT_CODES, UserError } from './exit-codes.js';
import type { LogFormat, LogLevel } from './log-choices.js';
import { createLogger } from './logger.js';
import { setStop } from './stop-signals.js';

/** The flags every device command has. */
export interface ServeFlags {
  readonly socket?: string | undefined;
  readonly fd?: number | undefined;
  /** Connect to the socket instead of listening. */
  readonly client: boolean;
  readonly once: boolean;
  readonly aio: 'io_uring' | 'threads';
  readonly 'poll-us'?: number | undefined;
  readonly 'log-level': LogLevel;
  readonly 'log-format': LogFormat;
}

/** One device at one socket. */
export interface Served {
  readonly device: VirtioDevice;
  readonly socket: string | undefined;
  /** An inherited socket, where there is no path. */
  readonly fd?: number | undefined;
  readonly workers: number;
  /** Of workers that serve several of these. */
  readonly share?: PoolShare | undefined;
}

export interface ServeOptions {
  readonly served: readonly Served[];
  readonly log: Log;
  /** How long to look for the driver's next request where --poll-us does not say. Default:
   *  POLL_US_DEFAULT. */
  readonly pollUs?: number;
  /** SIGHUP: look at what lies behind the devices again. */
  readonly onReload?: () => void;
}

/** QEMU's iothreads spin as long by default; an idle guest costs nothing all the same. */
export const POLL_US_DEFAULT = 32;

/** A drain that hangs must not keep a service manager waiting: its limit is 90 s, ours less. */
const STOP_TIMEOUT_MS = 10_000;

export function loggerOf(name: string, flags: Pick<ServeFlags, 'log-level' | 'log-format'>): Log {
  return createLogger({ name, level: flags['log-level'], format: flags['log-format'] });
}

/** Serves until a signal or the end of all listeners. */
export async function serve(
  flags: Omit<ServeFlags, 'socket' | 'fd'>,
  options: ServeOptions,
): Promise<void> {
  const { served, log, pollUs: devicePollUs = POLL_US_DEFAULT } = options;
  const listeners = openListeners(served, flags.client);
  const daemons = served.map(({ device, workers, share }, index) => {
    const listener = listeners[index] as Listener;
    const { once, aio, 'poll-us': asked } = flags;
    const pollUs = asked ?? devicePollUs;
    const operationPollUs = asked ?? POLL_US_DEFAULT;
    const how = { workers, engine: aio, pollUs, operationPollUs, once, share };
    return new Daemon({ device, listener, log, ...how });
  });
  setStop((signal) => {
    log.info({ signal }, 'stopping');
    setTimeout(() => {
      log.error({}, 'requests in flight did not finish in time');
      process.exit(EXIT_CODES.failure);
    }, STOP_TIMEOUT_MS).unref();
    for (const daemon of daemons) daemon.stop();
  });
  process.on('SIGHUP', () => options.onReload?.());
  process.on('uncaughtException', (error) => abort(log, error));
  const doing = flags.client ? 'connecting' : 'listening';
  for (const { socket, fd } of served) {
    log.info({ socket: socket ?? `fd ${fd}` }, doing);
  }
  await Promise.all(daemons.map((daemon) => daemon.run())).catch((error: unknown) =>
    abort(log, error),
  );
}

/** Our own bug: no exit code but SIGABRT, so that there is a core and the service manager restarts
 *  us. What a peer sends never leads here. */
function abort(log: Log, error: unknown): never {
  log.error({ error: String((error as Error).stack ?? error) }, 'internal error');
  process.abort();
}

/** All or none: a socket of a process that does not start is not left behind. */
function openListeners(served: readonly Served[], client: boolean): Listener[] {
  const listeners: Listener[] = [];
  try {
    for (const each of served) {
      listeners.push(openListener(each, client));
    }
    return listeners;
  } catch (error) {
    for (const listener of listeners) listener.close();
    throw error;
  }
}

function openListener({ socket, fd }: Served, client: boolean): Listener {
  try {
    if (client && socket !== undefined) {
      return connectToPath(socket);
    }
    return socket === undefined ? listenOnFd(fd as number) : listenOnPath(socket);
  } catch (error) {
    if (error instanceof ListenError) {
      const reason = error.reason === 'permission' ? 'permission' : 'socket';
      const advice = socket === undefined ? 'give --fd a UNIX socket' : 'choose another --socket';
      throw new UserError(reason, `${error.message}; ${advice}`);
    }
    throw error;
  }
}
