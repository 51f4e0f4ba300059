// A network card under test: a device in a daemon of its own, in this process, and a driver in front
// of it.

import { join } from 'node:path';
import type { Test } from 'tap';
import { Daemon, type Log, listenOnPath } from '../../src/core/index.js';
import { NetDevice } from '../../src/devices/net/device.js';
import { VIRTIO_NET_F_HASH_REPORT } from '../../src/devices/net/format.js';
import { type NetOptions, netOptionsSchema } from '../../src/devices/net/options.js';
import { NetDriver, TestFrontend, type TestFrontendOptions } from '../../src/testing/index.js';
import { temporaryDirectory } from './resources.js';

/** A card in order gives no reason for a warning. */
function faultLog(t: Test): Log {
  const take = (fields: Readonly<Record<string, unknown>>, message: string) => {
    t.fail(`${message}: ${Object.values(fields).join(', ')}`);
  };
  return { error: take, warn: take, info: () => {}, debug: () => {} };
}

export interface Card {
  readonly device: NetDevice;
  readonly socket: string;
  /** Connected, negotiated, running. */
  connect(options?: CardFrontendOptions): Promise<CardSession>;
}

export interface CardFrontendOptions extends Partial<TestFrontendOptions> {
  /** Headers of 20 bytes, which tell the hash; by default it is not negotiated. */
  readonly hashReport?: boolean;
}

export interface CardSession {
  readonly frontend: TestFrontend;
  readonly driver: NetDriver;
  end(): Promise<void>;
}

export async function startCard(t: Test, options: Partial<NetOptions>, workers = 1): Promise<Card> {
  const device = new NetDevice(netOptionsSchema.parse({ ...options, workers }));
  const socket = join(temporaryDirectory(t), 's');
  const daemon = new Daemon({
    device,
    listener: listenOnPath(socket),
    log: faultLog(t),
    workers,
    engine: 'io_uring',
    pollUs: 0,
    once: false,
  });
  const ended = daemon.run();
  t.teardown(async () => {
    daemon.stop();
    await ended;
    device.close();
  });
  const connect = async (front: CardFrontendOptions = {}) => {
    const { hashReport = false, ...options } = front;
    const withoutFeatures =
      (options.withoutFeatures ?? 0n) | (hashReport ? 0n : VIRTIO_NET_F_HASH_REPORT);
    const frontend = await TestFrontend.start({ socket, queues: 2, ...options, withoutFeatures });
    const end = async () => {
      await frontend.stopQueues();
      frontend.close();
    };
    return { frontend, driver: new NetDriver(frontend), end };
  };
  return { device, socket, connect };
}
