// From a device to a running daemon: listener, signals, the end.

import {
  connectToPath,
  Daemon,
  ListenError,
  type Listener,
  type Log,
  listenOnFd,
  listenOnPath,
  type VirtioDevice,
} from '../core/index.js';
import { EXIT_CODES, UserError } from './exit-codes.js';
import { setStop } from './stop-signals.js';

export interface ServeOptions {
  readonly device: VirtioDevice;
  readonly log: Log;
  readonly socket: string | undefined;
  readonly fd: number | undefined;
  /** Connect to the socket instead of listening. */
  readonly client: boolean;
  readonly once: boolean;
  readonly workers: number;
  readonly aio: 'io_uring' | 'threads';
  readonly pollUs: number;
  /** SIGHUP: look at what lies behind the device again. */
  readonly onReload?: () => void;
}

/** A drain that hangs must not keep a service manager waiting: its limit is 90 s, ours less. */
const STOP_TIMEOUT_MS = 10_000;

/** Serves until a signal or the end of the listener. */
export async function serve(options: ServeOptions): Promise<void> {
  const { device, log, once, workers, aio, pollUs } = options;
  const listener = openListener(options);
  const daemon = new Daemon({ device, listener, log, workers, engine: aio, pollUs, once });
  setStop((signal) => {
    log.info({ signal }, 'stopping');
    setTimeout(() => {
      log.error({}, 'requests in flight did not finish in time');
      process.exit(EXIT_CODES.failure);
    }, STOP_TIMEOUT_MS).unref();
    daemon.stop();
  });
  process.on('SIGHUP', () => options.onReload?.());
  process.on('uncaughtException', (error) => abort(log, error));
  const doing = options.client ? 'connecting' : 'listening';
  log.info({ socket: options.socket ?? `fd ${options.fd}` }, doing);
  await daemon.run().catch((error: unknown) => abort(log, error));
}

/** Our own bug: no exit code but SIGABRT, so that there is a core and the service manager restarts
 *  us. What a peer sends never leads here. */
function abort(log: Log, error: unknown): never {
  log.error({ error: String((error as Error).stack ?? error) }, 'internal error');
  process.abort();
}

function openListener({ socket, fd, client }: ServeOptions): Listener {
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
