export interface Timing {
  readonly popNs: number;
  readonly publishNs: number;
}

/** What one chain costs in one case, the fastest of its rounds. */
export interface Result extends Timing {
  /** `split/direct/1`: kind of ring, how chains lie in it, buffers of a chain. */
  readonly shape: string;
  readonly batch: number;
}

export const BATCHES = [1, 8, 32, 256] as const;
