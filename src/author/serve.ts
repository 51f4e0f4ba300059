// Serves a device from a script of the author's own: listener, workers, signals.

import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import {
  Daemon,
  type IoEngineName,
  type Log,
  type LogMethod,
  listenOnFd,
  listenOnPath,
  type VirtioDevice,
} from '../core/index.js';
import type { DefinedDevice } from './definition.js';

/** As QEMU's iothreads; an idle guest costs nothing all the same. */
const POLL_US_DEFAULT = 32;

export interface ServeOptions<Input = never> {
  /** Path of the UNIX socket to listen on; or `fd`, an inherited one. */
  readonly socket?: string | undefined;
  readonly fd?: number | undefined;
  /** The device's own. */
  readonly options?: Input;
  /** Worker threads; default 1. Each has a state of its own. */
  readonly workers?: number;
  readonly engine?: IoEngineName;
  readonly pollUs?: number;
  /** End when the first front-end has left. */
  readonly once?: boolean;
  /** Default: warnings and errors, a line each on stderr. */
  readonly log?: Log;
}

/**
 * Serves until SIGTERM, SIGINT or the end of the listener; then requests in flight are finished.
 * Throws ListenError, OptionsError, and what the device's module throws in a worker. In a worker,
 * which loads the same module, it does nothing.
 */
export async function serve<Input>(
  device: DefinedDevice<Input> | VirtioDevice,
  { socket, fd, options, workers = 1, log = STDERR_LOG, ...rest }: ServeOptions<Input>,
): Promise<void> {
  if (!isMainThread) {
    return;
  }
  if ((socket === undefined) === (fd === undefined)) {
    throw new TypeError('give either socket or fd');
  }
  const served = 'create' in device ? device.create(options) : device;
  const daemon = new Daemon({
    device: served,
    listener: socket === undefined ? listenOnFd(fd as number) : listenOnPath(socket),
    log,
    workers: Math.min(workers, served.numQueues()),
    engine: rest.engine ?? 'io_uring',
    pollUs: rest.pollUs ?? POLL_US_DEFAULT,
    once: rest.once ?? false,
  });
  const stop = () => daemon.stop();
  process.once('SIGTERM', stop).once('SIGINT', stop);
  try {
    await daemon.run();
  } finally {
    process.off('SIGTERM', stop).off('SIGINT', stop);
    served.close?.();
  }
}

/** True in the module the user started, given its `import.meta.url`; false where it is imported, and
 *  in workers. */
export function isMain(moduleUrl: string): boolean {
  const started = process.argv[1];
  return (
    isMainThread &&
    started !== undefined &&
    realpathSync(started) === realpathSync(fileURLToPath(moduleUrl))
  );
}

const toStderr =
  (level: string): LogMethod =>
  (fields, message) => {
    process.stderr.write(`vhost-ts: ${level}: ${message} ${JSON.stringify(fields)}\n`);
  };
const nothing: LogMethod = () => {};
const STDERR_LOG: Log = {
  error: toStderr('error'),
  warn: toStderr('warning'),
  info: nothing,
  debug: nothing,
};
