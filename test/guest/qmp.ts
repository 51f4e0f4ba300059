// A QEMU's monitor: QMP over a UNIX socket, one command at a time.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

import { delay } from './children.js';

interface QmpAnswer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

const CONNECT_LIMIT_MS = 10_000;
const CONNECT_STEP_MS = 20;

export class Qmp {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

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

  /** What the command returns; greeting and events are passed over. */
  async execute(command: string, args: object = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const { done, value } = await this.#lines.next();
      if (done === true) throw new Error(`the monitor closed during ${command}`);
      const answer = JSON.parse(value) as QmpAnswer;
      if (answer.error !== undefined) throw new Error(`${command}: ${answer.error.desc}`);
      if ('return' in answer) return answer.return;
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
