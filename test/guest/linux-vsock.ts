// Linux's own vsock test program and who has guests run it, a test at a time: where it is, which tests
// it has, and the words that tell a guest what to do next, by vsock.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { within } from './children.js';
import type { GuestConsole, GuestLine } from './console.js';
import { guestCacheDir } from './kernels.js';

/** Two of its tests measure time, which a busy machine spoils: it runs for who asks. */
export const LINUX_VERSION = process.env.VHOST_TS_VSOCK_TEST ?? '6.1';
export const GUEST_PROGRAM = join(guestCacheDir(), `vsock-test-${LINUX_VERSION}`, 'vsock_test');
/** The same with UNIX sockets in place of vsock (vsock-over-unix.h). */
export const HOST_PROGRAM = `${GUEST_PROGRAM}_over_unix`;
/** The program gives each step ten seconds. */
export const TEST_LIMIT_MS = 60_000;
const WORDS_PORT = 1002;

export type Mode = 'client' | 'server';

export interface TestCase {
  readonly id: number;
  readonly name: string;
}

/** Why it can't run here; undefined when it can. */
export function whyNoLinuxTest(whyNoGuest: string | undefined): string | undefined {
  if (process.env.VHOST_TS_VSOCK_TEST === undefined) return 'set VHOST_TS_VSOCK_TEST=6.1';
  return existsSync(GUEST_PROGRAM) ? whyNoGuest : 'run "node scripts/linux-vsock-test.js"';
}

export function testCases(): TestCase[] {
  const { stdout } = spawnSync(GUEST_PROGRAM, [
    ...['--list', '--mode=server', '--control-port=1', '--peer-cid=3'],
  ]);
  return [...String(stdout).matchAll(/^(\d+)\t(.*)$/gm)].map(([, id, name = '']) => ({
    id: Number(id),
    name,
  }));
}

/** Flags that leave one test of so many. */
export function only(id: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => i)
    .filter((i) => i !== id)
    .map((i) => `--skip=${i}`);
}

/** The next line of the guest's that begins so; undefined when none comes in time. */
export function nextLine(console: GuestConsole, start: string): Promise<string | undefined> {
  const said = new Promise<string>((resolve) => {
    const heard = ({ text }: GuestLine) => {
      if (text.startsWith(start) || text.startsWith('FAILED')) resolve(text);
    };
    console.onGuestLine(heard);
  });
  return within(said, TEST_LIMIT_MS);
}

/** What a guest's end came to: nothing when the test passed. */
export function failureOf(result: string | undefined): string {
  return (result ?? 'no result').replace(/^result 0 .*/, '');
}

/** Tells a guest that asks what to do next. */
export class Words {
  readonly #asked: Socket[] = [];
  readonly #words: string[] = [];
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    this.#asked.push(socket);
    this.#answer();
  });

  /** For the guest whose host programs are at `uds`. */
  constructor(uds: string) {
    this.#server.listen(`${uds}_${WORDS_PORT}`);
  }

  say(word: string): void {
    this.#words.push(word);
    this.#answer();
  }

  close(): void {
    this.#server.close();
  }

  #answer(): void {
    while (this.#asked.length > 0 && this.#words.length > 0) {
      this.#asked.shift()?.end(`${this.#words.shift()}\n`);
    }
  }
}
