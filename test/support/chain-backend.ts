// A chain without a ring: two arrays, and what was done with them.

import { type ChainBackend, DescriptorChain } from '../../src/core/virtqueue/descriptor-chain.js';

export interface ChainRig {
  readonly chain: DescriptorChain;
  readonly readable: Uint8Array;
  readonly writable: Uint8Array;
  /** Used lengths of completions. */
  readonly completed: number[];
  readonly kept: DescriptorChain[];
  /** From now on guest memory is gone. */
  lose(): void;
}

/** Number of the chain: queue 3, head 7. */
export const CHAIN = (3 << 16) | 7;

export function chainRig(readable: Uint8Array, writableBytes: number): ChainRig {
  const writable = new Uint8Array(writableBytes);
  const completed: number[] = [];
  const kept: DescriptorChain[] = [];
  let lost = false;
  const backend: ChainBackend = {
    copyOut: (_, offset, to, bytes) => {
      to.set(readable.subarray(offset, offset + bytes));
      return lost ? 0 : bytes;
    },
    copyIn: (_, offset, from, bytes) => {
      writable.set(from.subarray(0, bytes), offset);
      return lost ? -22 : bytes;
    },
    complete: (_, usedBytes) => completed.push(usedBytes),
    keep: (chain) => kept.push(chain),
  };
  const place = { chain: CHAIN, readableBytes: readable.byteLength, writableBytes };
  const chain = new DescriptorChain(backend, place);
  const lose = () => {
    lost = true;
  };
  return { chain, readable, writable, completed, kept, lose };
}
