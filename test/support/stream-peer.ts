// The other end of a stream of frames.

import { createServer, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';

/** The peer: frames out, frames in. */
export class Peer {
  readonly socket: Socket;
  readonly frames: Buffer[] = [];
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (bytes) => this.#take(Buffer.concat([this.#rest, bytes])));
  }

  send(...frames: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(frames.flatMap((bytes) => [length(bytes.byteLength), bytes])));
  }

  #take(bytes: Buffer): void {
    let at = 0;
    while (bytes.length - at >= 4 && bytes.length - at - 4 >= bytes.readUInt32BE(at)) {
      const end = at + 4 + bytes.readUInt32BE(at);
      this.frames.push(bytes.subarray(at + 4, end));
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }
}

export function length(bytes: number): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(bytes);
  return prefix;
}

export async function listen(
  t: Test,
  path: string,
): Promise<{ server: Server; peer: Promise<Peer> }> {
  const server = createServer();
  const peer = new Promise<Peer>((resolve) => {
    server.once('connection', (socket) => resolve(new Peer(socket)));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => void server.close());
  return { server, peer };
}
