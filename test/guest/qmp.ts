// A QEMU's monitor: QMP over a UNIX socket, one command at a time.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

import { delay, within } from './children.js';

interface QmpAnswer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: unknown;
}

const CONNECT_LIMIT_MS = 10_000;
const CONNECT_STEP_MS = 20;

export class Qmp {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  readonly #events: QmpAnswer[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  /** Connects as soon as QEMU has made the socket, and leaves negotiation mode. */
  static async connect(path: string): Promise<Qmp> {
    const endMs = performance.now() + CONNECT_LIMIT_MS;
    for (;;) {
      const socket = connect(path);
      try {
        await once(socket, 'connect');
        socket.on('error', () => {});
        const qmp = new Qmp(socket);
        await qmp.execute('qmp_capabilities');
        return qmp;
      } catch (error) {
        socket.destroy();
        if (performance.now() > endMs) throw error;
        await delay(CONNECT_STEP_MS);
      }
    }
  }

  async #next(during: string): Promise<QmpAnswer> {
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error(`the monitor closed during ${during}`);
    const answer = JSON.parse(value) as QmpAnswer;
    if (answer.event !== undefined) this.#events.push(answer);
    return answer;
  }

  /** What the command returns; the greeting is passed over, events are kept. */
  async execute(command: string, args: object = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const answer = await this.#next(command);
      if (answer.error !== undefined) throw new Error(`${command}: ${answer.error.desc}`);
      if ('return' in answer) return answer.return;
    }
  }

  /** Until QEMU has told of the end of this device; a guest may refuse to let go of memory. */
  async deviceDeleted(id: string, timeoutMs: number): Promise<void> {
    const seen = (name: string) =>
      this.#events.some(
        ({ event, data }) => event === name && (data as { device?: string }).device === id,
      );
    const endMs = performance.now() + timeoutMs;
    while (!seen('DEVICE_DELETED')) {
      if (seen('MEMORY_UNPLUG_ERROR')) throw new Error(`the guest kept ${id}`);
      const leftMs = endMs - performance.now();
      const answer = leftMs > 0 ? await within(this.#next(`the end of ${id}`), leftMs) : undefined;
      if (answer === undefined) throw new Error(`no DEVICE_DELETED of ${id}`);
    }
    this.#events.length = 0;
  }

  close(): void {
    this.#socket.destroy();
  }
}
