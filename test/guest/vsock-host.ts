// The host's side of a guest's vsock story: programs at UNIX sockets, by the hybrid convention.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { UdsListener } from '../../src/devices/vsock/uds-listener.js';
import { native } from '../../src/native/index.js';
import { delay, spawnTracked, type TrackedChild } from './children.js';

const SOCK_SEQPACKET = 5;
const MESSAGE_BYTES_MAX = 1 << 20;
const LOOK_AGAIN_MS = 5;
/** An emulated guest on a busy machine; socat ends half a connection after this by itself. */
const SOCAT_PATIENCE_SECONDS = 30;

/** Programs that listen for the guest's connections, and what they saw. */
export class VsockHost {
  /** The sums of what came to port 1000. */
  readonly sums: string[] = [];
  /** How many connections to port 1003 are over. */
  left = 0;
  readonly #path: string;
  readonly #servers: Server[] = [];
  readonly #socat: TrackedChild;
  readonly #messages: UdsListener;
  /** Guests that wait for what comes next, and answers no guest has asked for yet. */
  readonly #waiting: Socket[] = [];
  readonly #next: string[] = [];
  #closed = false;

  constructor(path: string) {
    this.#path = path;
    this.#listen(1000, (socket) => {
      const hash = createHash('sha256');
      socket.on('data', (chunk) => hash.update(chunk));
      socket.on('end', () => {
        this.sums.push(hash.digest('hex'));
        socket.end(`answer ${this.sums.length}`);
      });
    });
    this.#listen(1001, (socket) => void socket.pipe(socket));
    this.#listen(1002, (socket) => {
      this.#waiting.push(socket);
      this.#answer();
    });
    this.#listen(1003, (socket) => {
      socket.resume();
      socket.on('close', () => this.left++);
      socket.on('end', () => socket.end());
    });
    const patience = ['-t', `${SOCAT_PATIENCE_SECONDS}`];
    const args = [...patience, `UNIX-LISTEN:${path}_1004,fork`, 'EXEC:cat'];
    this.#socat = spawnTracked('socat', args, { stdio: 'ignore' });
    this.#messages = UdsListener.seqpacket(`${path}_1005`);
    void this.#echoMessages();
  }

  /** What the guest is told that has asked, or asks next, at port 1002. */
  next(word: string): void {
    this.#next.push(word);
    this.#answer();
  }

  close(): void {
    this.#closed = true;
    this.#socat.kill();
    this.#messages.close();
    for (const server of this.#servers) {
      server.close();
    }
  }

  #answer(): void {
    while (this.#waiting.length > 0 && this.#next.length > 0) {
      const word = this.#next.shift() ?? '';
      const socket = this.#waiting.shift();
      // One that asked through a daemon that is gone: the word is for the next.
      socket?.once('error', () => {
        this.#next.unshift(word);
        this.#answer();
      });
      socket?.end(word);
    }
  }

  #listen(port: number, serve: (socket: Socket) => void): void {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      serve(socket);
    });
    server.listen(`${this.#path}_${port}`);
    this.#servers.push(server);
  }

  /** One after another: each message goes back to where it came from. */
  async #echoMessages(): Promise<void> {
    const bytes = new Uint8Array(MESSAGE_BYTES_MAX);
    while (!this.#closed) {
      const fd = native.hostAccept(this.#messages.fd);
      if (fd < 0) {
        await delay(LOOK_AGAIN_MS);
        continue;
      }
      for (;;) {
        const got = await nextMessage(fd, bytes);
        if (got === 0) {
          break;
        }
        native.hostSend(fd, bytes, 0, got);
      }
      native.fdClose(fd);
    }
  }
}

/** A connection to a port of the guest's, once the guest has accepted. */
export async function connectGuest(path: string, port: number): Promise<Socket> {
  const socket = createConnection({ path, allowHalfOpen: true });
  socket.write(`CONNECT ${port}\n`);
  // A refusal is the end; half a socket is never closed by itself.
  const [answer] = await Promise.race([once(socket, 'data'), once(socket, 'end')]);
  if (!/^OK \d+\n$/.test(String(answer))) {
    socket.destroy();
    throw new Error(`port ${port} of the guest: ${answer}`);
  }
  return socket;
}

/** Says `part` so many times to a port of the guest's, then ends; resolves at the guest's end. */
export async function sayAll(path: string, port: number, part: Uint8Array, times: number) {
  const socket = await connectGuest(path, port);
  // The guest has nothing to say: its end may come before ours.
  const ended = once(socket, 'end');
  socket.resume();
  for (let i = 0; i < times; i++) {
    if (!socket.write(part)) {
      await once(socket, 'drain');
    }
  }
  socket.end();
  await ended;
}

async function nextMessage(fd: number, to: Uint8Array): Promise<number> {
  for (;;) {
    const got = native.hostReceive(fd, to, 0, to.byteLength, false);
    if (got >= 0) {
      return got;
    }
    await delay(LOOK_AGAIN_MS);
  }
}

/** Messages to the guest and back; the lengths of what came back. */
export async function sayMessages(path: string, port: number, lengths: readonly number[]) {
  const fd = native.hostConnect(`${path}_seqpacket`, SOCK_SEQPACKET);
  const greeting = Buffer.from(`CONNECT ${port}\n`);
  native.hostSend(fd, greeting, 0, greeting.byteLength);
  const bytes = new Uint8Array(MESSAGE_BYTES_MAX);
  await nextMessage(fd, bytes);
  const back: number[] = [];
  for (const length of lengths) {
    native.hostSend(fd, bytes, 0, length);
    back.push(await nextMessage(fd, bytes));
  }
  native.fdClose(fd);
  return back;
}

/** So many connections at a time, then a byte there and back on each; how many came back right. */
export async function connectMany(path: string, port: number, count: number): Promise<number> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) {
    sockets.push(await connectGuest(path, port));
  }
  let right = 0;
  for (const [i, socket] of sockets.entries()) {
    socket.write(Uint8Array.of(i));
    const [back] = await once(socket, 'data');
    right += back[0] === (i & 0xff) ? 1 : 0;
    socket.end();
  }
  return right;
}

/** A person at a shell of the guest's, who types a line when the former is answered; what the answers
 *  were, without what the terminal echoes, and the median wait. */
export async function talk(path: string, port: number, lines: readonly string[]) {
  const socket = await connectGuest(path, port);
  let said = '';
  socket.on('data', (text) => {
    said += String(text);
  });
  const answers: string[] = [];
  const waitsMs: number[] = [];
  for (const line of lines) {
    const startMs = performance.now();
    said = '';
    socket.write(`echo "[$((6 * 7)) ${line}]"\n`);
    for (;;) {
      const answer = /^\[42 .*\]/m.exec(said);
      if (answer !== null) {
        answers.push(answer[0]);
        break;
      }
      await once(socket, 'data');
    }
    waitsMs.push(performance.now() - startMs);
  }
  socket.write('exit\n');
  socket.resume();
  await once(socket, 'end');
  socket.destroy();
  const medianMs = waitsMs.sort((a, b) => a - b)[waitsMs.length >> 1] ?? 0;
  return { answers, medianMs };
}

async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** Through the host's socat to what the guest's socat echoes, with its greeting cut off. */
export async function socatEcho(path: string, port: number, bytes: Uint8Array): Promise<Buffer> {
  const args = ['-t', `${SOCAT_PATIENCE_SECONDS}`, '-', `UNIX-CONNECT:${path}`];
  const child = spawn('socat', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.write(`CONNECT ${port}\n`);
  child.stdin.end(bytes);
  const all = await readAll(child.stdout);
  return all.subarray(all.indexOf('\n') + 1);
}

/** A web page of the guest's. */
export async function fetchPage(path: string, port: number, page: string): Promise<Buffer> {
  const socket = await connectGuest(path, port);
  const asked = request({ createConnection: () => socket, path: page, host: 'guest' });
  asked.end();
  const [response] = await once(asked, 'response');
  return await readAll(response as Readable);
}
