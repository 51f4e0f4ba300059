// The checks before anything is sent.

import t from 'tap';
import {
  type MemoryRegionInfo,
  VHOST_MAX_MEMORY_REGIONS,
  type VringConfigData,
  validateMemoryRegions,
  validateVringConfig,
} from '../../../src/core/frontend/index.js';

const REGION: MemoryRegionInfo = {
  guestAddress: 0x1000n,
  sizeBytes: 0x1000n,
  userAddress: 0x1000n,
  mmapOffsetBytes: 0n,
  mmapHandle: 3,
};
const TOP = 1n << 64n;
const many = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ ...REGION, guestAddress: BigInt(i) * 0x1000n }));

t.test('memory regions', async (t) => {
  const bad: [what: string, change: Partial<MemoryRegionInfo>][] = [
    ['no size', { sizeBytes: 0n }],
    ['negative size', { sizeBytes: -1n }],
    ['guest addresses wrap', { guestAddress: TOP - 0xfffn }],
    ['user addresses wrap', { userAddress: TOP - 1n }],
    ['offset wraps', { mmapOffsetBytes: TOP - 1n }],
    ['negative address', { guestAddress: -1n }],
    ['no descriptor', { mmapHandle: -1 }],
    ['half a descriptor', { mmapHandle: 0.5 }],
  ];
  for (const [what, change] of bad) {
    const call = () => validateMemoryRegions([{ ...REGION, ...change }]);
    t.throws(call, { code: 'INVALID_GUEST_MEMORY_REGION' }, what);
  }
  t.doesNotThrow(() => validateMemoryRegions([{ ...REGION, guestAddress: TOP - 0x1000n }]), 'end');
  const sets: [what: string, regions: readonly MemoryRegionInfo[], fine: boolean][] = [
    ['none', [], false],
    ['as many as the trait allows', many(VHOST_MAX_MEMORY_REGIONS), true],
    ['one more', many(VHOST_MAX_MEMORY_REGIONS + 1), false],
    ['adjoining, backwards', many(3).reverse(), true],
    ['twice', [REGION, REGION], false],
    ['overlap by a byte', [REGION, { ...REGION, guestAddress: 0x1fffn }], false],
  ];
  for (const [what, regions, fine] of sets) {
    const call = () => validateMemoryRegions(regions);
    if (fine) {
      t.doesNotThrow(call, what);
    } else {
      t.throws(call, { code: 'INVALID_GUEST_MEMORY' }, what);
    }
  }
  t.throws(() => validateMemoryRegions(many(9), 8), { code: 'INVALID_GUEST_MEMORY' }, 'transport');
});

t.test('vrings', async (t) => {
  const VRING: VringConfigData = {
    queueMaxSize: 1024,
    queueSize: 256,
    flags: 0,
    descTableAddress: 0x10n,
    availRingAddress: 0x2n,
    usedRingAddress: 0x4n,
  };
  t.doesNotThrow(() => validateVringConfig(VRING));
  t.doesNotThrow(() => validateVringConfig({ ...VRING, queueSize: 100 }), 'packed: any size');
  t.doesNotThrow(() => validateVringConfig({ ...VRING, flags: 1, logAddress: 0n }));
  const rows: [change: Partial<VringConfigData>, code: string][] = [
    [{ queueSize: 0 }, 'INVALID_QUEUE'],
    [{ queueSize: 1025 }, 'INVALID_QUEUE'],
    [{ queueSize: 1.5 }, 'INVALID_QUEUE'],
    [{ queueSize: 65_536, queueMaxSize: 65_536 }, 'INVALID_QUEUE'],
    [{ flags: 2 }, 'INVALID_QUEUE'],
    [{ flags: 1 }, 'LOG_ADDRESS'],
    [{ descTableAddress: 8n }, 'DESCRIPTOR_TABLE_ADDRESS'],
    [{ availRingAddress: 1n }, 'AVAIL_ADDRESS'],
    [{ usedRingAddress: 2n }, 'USED_ADDRESS'],
    [{ usedRingAddress: TOP }, 'USED_ADDRESS'],
  ];
  for (const [change, code] of rows) {
    t.throws(() => validateVringConfig({ ...VRING, ...change }), { code });
  }
});
