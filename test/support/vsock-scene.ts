// A spawned `vhost-ts vsock`, our front-end with a vsock driver on it, and host programs as sockets
// of this process.

import { rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import {
  DaemonProcess,
  TestFrontend,
  type TestFrontendOptions,
  VsockDriver,
  type VsockDriverOptions,
} from '../../src/testing/index.js';
import { temporaryDirectory } from './resources.js';

export const GUEST_CID = 42;

export interface VsockScene {
  readonly daemon: DaemonProcess;
  readonly path: string;
  /** A session that lasts as long as the test. */
  start(
    t: Test,
    driver?: VsockDriverOptions,
    frontend?: Partial<TestFrontendOptions>,
  ): Promise<VsockDriver>;
  /** A host program that listens for the guest's connections to this port. */
  listen(t: Test, port: number, serve: (socket: Socket) => void): Promise<Server>;
  /** A host program that asks for a port of the guest's; what it is answered comes by `data`. */
  connect(t: Test, greeting: string): Socket;
}

export async function vsockScene(t: Test, args: readonly string[] = []): Promise<VsockScene> {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'v');
  const socket = join(directory, 's');
  const daemon = await DaemonProcess.vsock(socket, [
    '--guest-cid',
    String(GUEST_CID),
    '--uds-path',
    path,
    ...args,
  ]);
  t.teardown(async () => {
    await daemon.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    daemon,
    path,
    start: async (t, driver = {}, frontend = {}) => {
      const started = await startFrontend({ socket, queues: 3, ...frontend });
      t.teardown(() => started.close());
      return new VsockDriver(started, { guestCid: GUEST_CID, ...driver });
    },
    listen: async (t, port, serve) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => {});
        serve(socket);
      });
      t.teardown(() => server.close());
      await new Promise<void>((resolve) => server.listen(`${path}_${port}`, resolve));
      return server;
    },
    connect: (t, greeting) => {
      const made = createConnection({ path, allowHalfOpen: true });
      made.on('error', () => {});
      t.teardown(() => made.destroy());
      made.write(greeting);
      return made;
    },
  };
}

/** All a socket says until its end; it stays open for writing. */
export async function toEnd(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  await new Promise((resolve) => socket.once('end', resolve));
  return Buffer.concat(chunks);
}

/** The next chunk a socket says. */
export async function nextChunk(socket: Socket): Promise<string> {
  return await new Promise((resolve, reject) => {
    socket.once('data', (chunk) => resolve(String(chunk)));
    socket.once('close', () => reject(new Error('closed')));
  });
}

/** The former session may still be ending. */
async function startFrontend(options: TestFrontendOptions): Promise<TestFrontend> {
  for (let tries = 0; ; tries++) {
    try {
      return await TestFrontend.start(options);
    } catch (error) {
      if (tries === 100) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
