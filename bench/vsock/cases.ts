/** What is measured, beside whom, and what the project promises. */
export const METRICS = {
  gbps: 'Gbit/s',
  cpuSecondsPerGib: 'CPU s/GiB',
  p50Us: 'p50 us',
  p99Us: 'p99 us',
  perSecond: 'per second',
  cpuUsPerConnection: 'CPU us each',
  bytesPerConnection: 'bytes each',
  idleCpuUsPerSecond: 'idle CPU us/s',
} as const;
export type Metric = keyof typeof METRICS;

/** A plain socket pair, and socat with its own buffer of 8 KiB or one of 64 KiB. */
export type PeerName = 'pair' | 'socat' | 'socat-64k';

export interface Target {
  readonly metric: Metric;
  readonly relation: '>=' | '<=';
  readonly value: number;
  /** The value is a ratio to this peer's; without, it is absolute. */
  readonly peer?: PeerName;
}

export interface BenchCase {
  readonly name: string;
  readonly work: 'bulk' | 'round-trip' | 'connect' | 'hold' | 'guest';
  readonly streams: number;
  /** Further flags of the load generator. */
  readonly flags: Readonly<Record<string, string | number>>;
  readonly metrics: readonly Metric[];
  readonly peers: readonly PeerName[];
  readonly targets: readonly Target[];
}

/** Receive buffers of a Linux guest; ours have 64 KiB of payload. */
const LINUX_RECEIVE_BYTES = 4096;
const DIRECTIONS = ['guest-to-host', 'host-to-guest'] as const;
const MANY_STREAMS = 64;
const HELD = 10_000;
/** Zero, but for the rounding of a clock that other work on the machine disturbs. */
const IDLE_US_PER_SECOND_MAX = 200;

const BULK = { work: 'bulk', metrics: ['gbps', 'cpuSecondsPerGib'] } as const;
const ALL_PEERS: readonly PeerName[] = ['pair', 'socat', 'socat-64k'];

function streams(): BenchCase[] {
  const targets: readonly Target[] = [
    { metric: 'gbps', relation: '>=', value: 20 },
    { metric: 'gbps', relation: '>=', value: 0.8, peer: 'socat' },
  ];
  const one = DIRECTIONS.map((direction): BenchCase => {
    const name = `stream/1/${direction}`;
    return { ...BULK, name, streams: 1, flags: { direction }, peers: ALL_PEERS, targets };
  });
  const many = DIRECTIONS.map((direction): BenchCase => {
    const name = `stream/${MANY_STREAMS}/${direction}`;
    const shape = { ...BULK, name, streams: MANY_STREAMS, peers: ALL_PEERS };
    return { ...shape, flags: { direction }, targets: [] };
  });
  const pages: BenchCase = {
    ...BULK,
    name: 'stream/1/host-to-guest/4k-buffers',
    streams: 1,
    flags: { direction: 'host-to-guest', 'receive-bytes': LINUX_RECEIVE_BYTES },
    peers: ALL_PEERS,
    targets: [],
  };
  return [...one, pages, ...many];
}

function roundTrips(): BenchCase[] {
  const peers: readonly PeerName[] = ['pair', 'socat'];
  return (['event', 'poll'] as const).map((mode) => ({
    name: `round-trip/${mode}`,
    work: 'round-trip',
    streams: 1,
    flags: { mode },
    metrics: ['p50Us', 'p99Us'],
    peers,
    targets: mode === 'event' ? [{ metric: 'p50Us', relation: '<=', value: 2, peer: 'pair' }] : [],
  }));
}

function connections(): BenchCase[] {
  const connect = DIRECTIONS.map(
    (direction): BenchCase => ({
      name: `connect/${direction}`,
      work: 'connect',
      streams: 1,
      flags: { direction },
      metrics: ['perSecond', 'cpuUsPerConnection'],
      peers: ['pair'],
      targets: [],
    }),
  );
  const held: BenchCase = {
    name: `hold/${HELD}`,
    work: 'hold',
    streams: 1,
    flags: { connections: HELD },
    metrics: ['bytesPerConnection', 'idleCpuUsPerSecond'],
    peers: [],
    targets: [{ metric: 'idleCpuUsPerSecond', relation: '<=', value: IDLE_US_PER_SECOND_MAX }],
  };
  return [...connect, held];
}

/** From a Linux guest, which nothing on this machine can stand in for: no peer, no target. */
function guests(): BenchCase[] {
  const shape = { work: 'guest', streams: 1, peers: [], targets: [] } as const;
  const { metrics } = BULK;
  return [
    { ...shape, name: 'guest/stream/guest-to-host', flags: { work: 'give' }, metrics },
    { ...shape, name: 'guest/stream/host-to-guest', flags: { work: 'take' }, metrics },
    {
      ...shape,
      name: 'guest/round-trip',
      flags: { work: 'ping' },
      metrics: ['p50Us', 'p99Us'],
    },
  ];
}

export function allCases(): BenchCase[] {
  return [...streams(), ...roundTrips(), ...connections(), ...guests()];
}
