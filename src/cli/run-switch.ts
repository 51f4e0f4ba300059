// From the flags of `vhost-ts net --switch` to a switch with a card at each socket.

import { basename } from 'node:path';
import { type Log, SharedPool } from '../core/index.js';
import { HostEndError } from '../devices/net/host-end-error.js';
import { NetSwitch } from '../devices/net/switch/net-switch.js';
import {
  type PortRule,
  parsePortRule,
  type SwitchOptions,
  switchOptionsSchema,
} from '../devices/net/switch/options.js';
import { QUEUES_PER_PORT } from '../devices/net/switch/switch-port.js';
import { UserError } from './exit-codes.js';
import { flagIssues, given } from './option-issues.js';
import { HOST_END_EXIT_REASONS } from './run-net.js';
import { loggerOf, POLL_US_DEFAULT, type ServeFlags, serve } from './serve.js';

export interface SwitchFlags extends Omit<ServeFlags, 'socket' | 'fd'> {
  readonly switch: string;
  readonly sockets: readonly string[];
  readonly port?: readonly string[] | undefined;
  readonly 'mac-age'?: number | undefined;
  readonly 'storm-limit'?: number | undefined;
  readonly 'no-offload': boolean;
  readonly uplink?: string | undefined;
  readonly mtu?: number | undefined;
  readonly 'queue-size': number;
  readonly 'queue-num': 'queues' | 'pairs';
  readonly pcap?: string | undefined;
  readonly 'pcap-limit'?: number | undefined;
}

/** Options whose flag has another name. */
const FLAG_NAMES = {
  name: 'switch',
  ports: 'socket',
  ageS: 'mac-age',
  stormPerSecond: 'storm-limit',
  pcapLimitMib: 'pcap-limit',
};

export async function runSwitch(flags: SwitchFlags): Promise<void> {
  const log = loggerOf('net', flags);
  const options = parseOptions(flags);
  const netSwitch = openSwitch(options, log);
  const pool = new SharedPool(
    {
      queuesPerThread: [-1n],
      dataHalf: netSwitch.dataHalf(),
      engine: flags.aio,
      pollUs: flags['poll-us'] ?? POLL_US_DEFAULT,
    },
    netSwitch.cards.map(() => QUEUES_PER_PORT),
  );
  try {
    await serve(flags, {
      served: netSwitch.cards.map((device, i) => ({
        device,
        socket: flags.sockets[i],
        workers: 1,
        share: pool.shares[i],
      })),
      log,
      onReload: () => logCounts(netSwitch, log),
    });
  } finally {
    await pool.close();
    await netSwitch.close();
  }
}

/** SIGHUP asks what became of the frames. */
function logCounts(netSwitch: NetSwitch, log: Log): void {
  for (const queue of [0, 1]) {
    const counts = netSwitch.uplinkCounts(queue);
    if (counts !== undefined) {
      log.info({ port: 'uplink', queue, ...counts }, 'frames');
    }
  }
  for (const card of netSwitch.cards) {
    for (const queue of [0, 1]) {
      log.info({ port: card.label, queue, ...card.counts(queue) }, 'frames');
    }
  }
}

function parseOptions(flags: SwitchFlags): SwitchOptions {
  const rules = parseRules(flags.port ?? [], flags.sockets.length);
  const options = given({
    name: flags.switch,
    ports: flags.sockets.map((socket, i) => ({ label: basename(socket), ...rules.get(i + 1) })),
    ageS: flags['mac-age'],
    stormPerSecond: flags['storm-limit'],
    offload: !flags['no-offload'],
    uplink: flags.uplink,
    mtu: flags.mtu,
    queueSize: flags['queue-size'],
    queueNum: flags['queue-num'],
    pcap: flags.pcap,
    pcapLimitMib: flags['pcap-limit'],
  });
  const parsed = switchOptionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new UserError('usage', flagIssues(parsed.error, FLAG_NAMES));
  }
  return parsed.data;
}

function parseRules(texts: readonly string[], ports: number): Map<number, PortRule> {
  const rules = new Map<number, PortRule>();
  for (const text of texts) {
    const parsed = parsePortRule(text);
    if (typeof parsed === 'string') {
      throw new UserError('usage', `--port: ${parsed}`);
    }
    if (parsed.port > ports || rules.has(parsed.port)) {
      const why = parsed.port > ports ? `there are ${ports} ports` : 'has its rule already';
      throw new UserError('usage', `--port ${parsed.port}: ${why}`);
    }
    rules.set(parsed.port, parsed.rule);
  }
  return rules;
}

function openSwitch(options: SwitchOptions, log: Log): NetSwitch {
  try {
    return new NetSwitch(options, (message) => log.warn({}, message));
  } catch (error) {
    if (error instanceof HostEndError) {
      throw new UserError(HOST_END_EXIT_REASONS[error.reason], error.message);
    }
    throw error;
  }
}
