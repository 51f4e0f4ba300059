// The other way round: the front-end listens and we connect, for as long as it takes, and again
// when the connection has ended.

import { native, SystemError } from '../../native/index.js';
import { ListenError, type Listener } from './listener.js';

export interface ConnectorOptions {
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
  /** A connection that lasts less counts as a failed attempt. */
  readonly lastingMs?: number;
}

/** A front-end that restarts has its socket back within this. */
const RETRY_MIN_MS = 20;
/** Looking costs a system call; a guest that boots must not wait longer for its disk. */
const RETRY_MAX_MS = 1000;
/** A front-end that accepts and hangs up at once would otherwise be asked in a busy loop. */
const LASTING_MS = 1000;

/** Connects to `path`. What waiting can't cure is thrown at once; a socket that is not there yet,
 *  or that nobody listens on, is tried again for ever. */
export function connectToPath(path: string, options: ConnectorOptions = {}): Listener {
  const fd = native.socketConnect(path);
  if (fd < 0) {
    const { code } = new SystemError('connect', -fd);
    const error = hopeless(path, code);
    if (error !== undefined) {
      throw error;
    }
  }
  return new Connector(path, fd, options);
}

function hopeless(path: string, code: string): ListenError | undefined {
  switch (code) {
    case 'ENAMETOOLONG':
      return new ListenError('invalid', `${path} is longer than 107 bytes`);
    case 'EPROTOTYPE':
      return new ListenError('invalid', `${path} is no stream socket`);
    case 'EACCES':
    case 'EPERM':
      return new ListenError('permission', `no permission to connect to ${path}`);
    default:
      return undefined;
  }
}

class Connector implements Listener {
  readonly exclusive = true;
  readonly #path: string;
  readonly #options: Required<ConnectorOptions>;
  #first: number | undefined;
  #retryMs: number;
  #connectedAtMs: number | undefined;
  #wake: (() => void) | undefined;
  #closed = false;

  /** `first`: a connection, or -errno of the attempt. */
  constructor(path: string, first: number, options: ConnectorOptions) {
    this.#path = path;
    this.#options = {
      retryMinMs: RETRY_MIN_MS,
      retryMaxMs: RETRY_MAX_MS,
      lastingMs: LASTING_MS,
      ...options,
    };
    this.#first = first >= 0 ? first : undefined;
    this.#retryMs = this.#options.retryMinMs;
  }

  async accept(): Promise<number | undefined> {
    if (this.#connectedAtMs !== undefined) {
      if (performance.now() - this.#connectedAtMs >= this.#options.lastingMs) {
        this.#retryMs = this.#options.retryMinMs;
      } else {
        await this.#backOff();
      }
    }
    while (!this.#closed) {
      const fd = this.#first ?? native.socketConnect(this.#path);
      this.#first = undefined;
      if (fd >= 0) {
        this.#connectedAtMs = performance.now();
        return fd;
      }
      await this.#backOff();
    }
    return undefined;
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
    if (this.#first !== undefined) {
      native.fdClose(this.#first);
      this.#first = undefined;
    }
  }

  async #backOff(): Promise<void> {
    if (this.#closed) {
      return;
    }
    const waitMs = this.#retryMs;
    this.#retryMs = Math.min(waitMs * 2, this.#options.retryMaxMs);
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, waitMs);
    });
    clearTimeout(timer);
    this.#wake = undefined;
  }
}
