// A switch under test: its cards in daemons of their own, in this process, on the workers they
// share, and a driver in front of each.

import { join } from 'node:path';
import type { Test } from 'tap';
import { Daemon, type Log, listenOnPath, SharedPool } from '../../src/core/index.js';
import type { QueueCounts } from '../../src/devices/net/counters.js';
import { NetSwitch } from '../../src/devices/net/switch/net-switch.js';
import { parsePortRule, switchOptionsSchema } from '../../src/devices/net/switch/options.js';
import { QUEUES_PER_PORT } from '../../src/devices/net/switch/switch-port.js';
import { NetDriver, TestFrontend, type TestFrontendOptions } from '../../src/testing/index.js';
import { temporaryDirectory } from './resources.js';

const RECEIVE = 0;
const TRANSMIT = 1;

export interface SwitchGuest {
  readonly frontend: TestFrontend;
  readonly driver: NetDriver;
  readonly received: () => QueueCounts;
  readonly sent: () => QueueCounts;
  end(): Promise<void>;
}

export interface SwitchRig {
  readonly netSwitch: NetSwitch;
  /** The guest of a port, counted from 0. */
  connect(port: number, options?: Partial<TestFrontendOptions>): Promise<SwitchGuest>;
}

/** `rules`: of `--port`, without the number; one for each port. */
export async function startSwitch(
  t: Test,
  rules: readonly string[],
  options: Readonly<Record<string, unknown>> = {},
): Promise<SwitchRig> {
  const ports = rules.map((rule, i) => {
    const parsed = rule === '' ? undefined : parsePortRule(`1:${rule}`);
    if (typeof parsed === 'string') {
      throw new Error(parsed);
    }
    return { label: `port${i}`, ...parsed?.rule };
  });
  const netSwitch = new NetSwitch(switchOptionsSchema.parse({ name: 's', ports, ...options }));
  const directory = temporaryDirectory(t);
  const pool = new SharedPool(
    { queuesPerThread: [-1n], dataHalf: netSwitch.dataHalf(), engine: 'io_uring', pollUs: 0 },
    ports.map(() => QUEUES_PER_PORT),
  );
  const take = (fields: Readonly<Record<string, unknown>>, message: string) => {
    t.fail(`${message}: ${Object.values(fields).join(', ')}`);
  };
  const log: Log = { error: take, warn: take, info: () => {}, debug: () => {} };
  const sockets = ports.map(({ label }) => join(directory, label));
  const daemons = netSwitch.cards.map((device, i) => {
    const listener = listenOnPath(sockets[i] as string);
    const share = pool.shares[i];
    return new Daemon({ ...COMMON, device, listener, log, share });
  });
  const ended = daemons.map((daemon) => daemon.run());
  t.teardown(async () => {
    for (const daemon of daemons) {
      daemon.stop();
    }
    await Promise.all(ended);
    await pool.close();
    await netSwitch.close();
  });
  const connect = async (port: number, front: Partial<TestFrontendOptions> = {}) => {
    const socket = sockets[port] as string;
    const frontend = await TestFrontend.start({ socket, queues: 2, ...front });
    const card = netSwitch.cards[port] as NetSwitch['cards'][number];
    return {
      frontend,
      driver: new NetDriver(frontend),
      received: () => card.counts(RECEIVE),
      sent: () => card.counts(TRANSMIT),
      end: async () => {
        await frontend.stopQueues();
        frontend.close();
      },
    };
  };
  return { netSwitch, connect };
}

const COMMON = { workers: 1, engine: 'io_uring', pollUs: 0, once: false } as const;
