// A running `vhost-ts blk` on an image of its own, gone with the test.

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestFrontendOptions } from '../../src/testing/index.js';
import { BlkDriver, DaemonProcess, TestFrontend } from '../../src/testing/index.js';

export const IMAGE_BYTES = 16 << 20;

export interface Disk {
  readonly daemon: DaemonProcess;
  readonly image: string;
  readonly socket: string;
  connect(options?: Partial<TestFrontendOptions>): Promise<Session>;
}

export interface Session {
  readonly frontend: TestFrontend;
  readonly driver: BlkDriver;
  /** Stops the rings and leaves. */
  end(): Promise<void>;
}

interface Teardown {
  teardown(fn: () => Promise<void>): unknown;
}

/** The directory is short: UNIX socket paths end at 107 bytes. */
export function temporaryDirectory(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'vt-'));
  t.teardown(async () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** `directory`: where the image lies; O_DIRECT wants a real file system. */
export async function startDisk(t: Teardown, args: readonly string[] = []): Promise<Disk> {
  const directory = temporaryDirectory(t);
  const image = join(directory, 'disk.img');
  const socket = join(directory, 's');
  writeFileSync(image, '');
  truncateSync(image, IMAGE_BYTES);
  const daemon = await DaemonProcess.blk(socket, ['--image', image, ...args]);
  t.teardown(async () => {
    await daemon.stop();
  });
  const connect = async (options: Partial<TestFrontendOptions> = {}): Promise<Session> => {
    const frontend = await TestFrontend.start({ socket, ...options });
    return {
      frontend,
      driver: new BlkDriver(frontend),
      end: async () => {
        await frontend.stopQueues();
        frontend.close();
      },
    };
  };
  return { daemon, image, socket, connect };
}

/** Bytes that differ everywhere and can be told apart by seed. */
export function pattern(bytes: number, seed: number): Uint8Array {
  const result = new Uint8Array(bytes);
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < bytes; i++) {
    state = (state * 1664525 + 1013904223) >>> 0;
    result[i] = state >>> 24;
  }
  return result;
}
