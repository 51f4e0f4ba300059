/** What is compared, and which ratio the project promises for it. */
export const METRICS = ['packetsPerSecond', 'packetsPerCpuSecond'] as const;
export type Metric = (typeof METRICS)[number];

export interface Target {
  readonly metric: Metric;
  readonly ratio: number;
}

export type Sample = Readonly<Record<Metric, number>>;

/** Where frames go: nowhere (sent by one port), or from guest to guest (forwarded by both). */
export type Way = 'null' | 'switch';

/** dpdk-testpmd in front of a back-end. */
export interface PacketCase {
  readonly name: string;
  readonly way: Way;
  readonly packed: boolean;
  readonly mergeable: boolean;
  readonly frameBytes: number;
  readonly targets: readonly Target[];
}

export const FRAME_BYTES = [64, 1500] as const;

/** Busy, at 64 bytes: what the project promises of the way from guest to guest. */
const SWITCH_TARGETS: readonly Target[] = [{ metric: 'packetsPerSecond', ratio: 0.5 }];

function packetCase(way: Way, packed: boolean, mergeable: boolean, frameBytes: number): PacketCase {
  const ring = packed ? 'packed' : 'split';
  const buffers = mergeable ? 'merge' : 'single';
  return {
    name: `${way}/${ring}/${buffers}/${frameBytes}`,
    way,
    packed,
    mergeable,
    frameBytes,
    targets: way === 'switch' && frameBytes === 64 ? SWITCH_TARGETS : [],
  };
}

export function packetCases(): PacketCase[] {
  const cases: PacketCase[] = [];
  for (const way of ['null', 'switch'] as const) {
    for (const packed of [false, true]) {
      for (const mergeable of [true, false]) {
        for (const frameBytes of FRAME_BYTES) {
          cases.push(packetCase(way, packed, mergeable, frameBytes));
        }
      }
    }
  }
  return cases;
}

/** Two front-ends of our own, one sending to the other through a switch. */
export interface PairCase {
  readonly name: string;
  readonly frameBytes: number;
  /** Frames a second; undefined: as many as the ring takes. */
  readonly rate: number | undefined;
  readonly targets: readonly Target[];
}

/** What a few web pages make. A back-end that polls uses a whole CPU for it. */
const LIGHT_RATE = 10_000;
const LIGHT_TARGETS: readonly Target[] = [{ metric: 'packetsPerCpuSecond', ratio: 3 }];

export function pairCases(): PairCase[] {
  const flood = FRAME_BYTES.map((frameBytes) => ({
    name: `pair/flood/${frameBytes}`,
    frameBytes,
    rate: undefined,
    targets: frameBytes === 64 ? SWITCH_TARGETS : [],
  }));
  const light = { name: 'pair/light/64', frameBytes: 64, rate: LIGHT_RATE, targets: LIGHT_TARGETS };
  return [...flood, light];
}
