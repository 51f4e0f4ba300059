// What the control half hands to workers that show frames, and how a tag says whose they are.

/** Plain data: it crosses threads. */
export interface SharedCapture {
  /** One for each worker; which one is whose is settled by who comes first. */
  readonly rings: readonly SharedArrayBuffer[];
  /** One word: rings taken so far. */
  readonly claims: SharedArrayBuffer;
}

/** A ring that nobody else writes to; undefined when all are taken. */
export function claimRing({ rings, claims }: SharedCapture): Uint8Array | undefined {
  const ring = rings[Atomics.add(new Uint32Array(claims), 0, 1)];
  return ring === undefined ? undefined : new Uint8Array(ring);
}

/** Tags are never 0. Inbound: to the guest. */
export const captureTag = (index: number, inbound: boolean): number =>
  ((index + 1) << 1) | (inbound ? 1 : 0);
export const interfaceOf = (tag: number): number => (tag >>> 1) - 1;
export const isInbound = (tag: number): boolean => (tag & 1) === 1;
