// Where names lead to, asked again and again in the control thread. By getent in a process of its
// own: it asks what the system's own programs ask, and unlike a lookup in one of Node's threads it
// can be ended, so that a resolver which does not answer holds up nothing.

import { type ChildProcess, execFile } from 'node:child_process';

/** More are not tried: the guest waits two seconds for all of them. */
const ADDRESSES_MAX = 4;
/** A name that has moved is found again within this; no packet waits for it. */
const REFRESH_MS = 30_000;
/** While some name is unknown. */
const RETRY_MS = 2000;
/** The system's resolver gives up after as long, by default. */
const ANSWER_LIMIT_MS = 10_000;

/** Addresses of a name; none: not found. */
export type Lookup = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

export class NameResolver {
  readonly #names: readonly string[];
  readonly #tell: (name: string, addresses: readonly string[]) => void;
  readonly #lookup: Lookup;
  readonly #known = new Map<string, string>();
  readonly #end = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /** `tell` hears of each name when its addresses are other than before. */
  constructor(
    names: readonly string[],
    tell: (name: string, addresses: readonly string[]) => void,
    lookup: Lookup = getent,
  ) {
    this.#names = [...new Set(names)];
    this.#tell = tell;
    this.#lookup = lookup;
  }

  /** Asks for all names, one after another, and goes on doing so. */
  async start(): Promise<void> {
    const { signal } = this.#end;
    for (const name of this.#names) {
      const addresses = await this.#lookup(name, signal).catch(() => []);
      if (signal.aborted) {
        return;
      }
      this.#found(name, addresses.slice(0, ADDRESSES_MAX));
    }
    if (this.#names.length > 0) {
      const waitMs = this.#known.size < this.#names.length ? RETRY_MS : REFRESH_MS;
      this.#timer = setTimeout(() => void this.start(), waitMs);
      this.#timer.unref();
    }
  }

  close(): void {
    this.#end.abort();
    clearTimeout(this.#timer);
  }

  /** An answer that fails to come leaves the former: what worked may still. */
  #found(name: string, addresses: readonly string[]): void {
    const text = addresses.join(' ');
    if (addresses.length > 0 && this.#known.get(name) !== text) {
      this.#known.set(name, text);
      this.#tell(name, addresses);
    }
  }
}

/** `127.0.0.1       STREAM localhost`, a line for each address and type of socket. */
export function parseAddresses(text: string): string[] {
  const streams = text.split('\n').map((line) => /^(\S+)\s+STREAM\b/.exec(line)?.[1]);
  return [...new Set(streams.filter((address) => address !== undefined))];
}

function getent(name: string, signal: AbortSignal): Promise<readonly string[]> {
  return new Promise((resolve) => {
    const options = { signal, timeout: ANSWER_LIMIT_MS, killSignal: 'SIGKILL' } as const;
    const child: ChildProcess = execFile('getent', ['ahosts', name], options, (error, stdout) =>
      resolve(error === null ? parseAddresses(stdout) : []),
    );
    child.unref();
  });
}
