import t from 'tap';
import { DeviceMemory } from '../../../src/core/frontend/device-memory.js';
import type { MemoryRegionInfo } from '../../../src/core/frontend/index.js';
import { scriptedVhostBackend } from '../../support/scripted-vhost-backend.js';

const at = (page: number, mmapHandle = 3): MemoryRegionInfo => ({
  guestAddress: BigInt(page) * 4096n,
  userAddress: BigInt(page) * 4096n + 0x7000_0000n,
  sizeBytes: 4096n,
  mmapOffsetBytes: 0n,
  mmapHandle,
});

t.test('the whole table, where there are no slots', async (t) => {
  const { backend, calls } = scriptedVhostBackend(0n);
  const memory = new DeviceMemory(backend);
  await memory.init(false);
  t.equal(memory.freeSlots, 255, 'a transport without messages');
  await memory.set([at(0), at(1)]);
  t.same(calls, [['setMemTable', [at(0), at(1)]]]);
  t.equal(memory.freeSlots, 253);
  const overSocket = new DeviceMemory(scriptedVhostBackend(0n, { protocolFeatures: 0n }).backend);
  t.equal(overSocket.freeSlots, 8);
});

t.test('only the differences, where there are', async (t) => {
  const { backend, calls } = scriptedVhostBackend(0n, {
    getMaxMemSlots: async () => 3n,
    addMemRegion: async () => {},
    removeMemRegion: async () => {},
  });
  const memory = new DeviceMemory(backend);
  await memory.init(true);
  await memory.set([at(0), at(1)]);
  calls.splice(0);
  await memory.set([at(1), at(2), at(3)]);
  t.same(calls, [
    ['removeMemRegion', at(0)],
    ['addMemRegion', at(2), 3],
    ['addMemRegion', at(3), 3],
  ]);
  t.equal(memory.freeSlots, 0);
  await t.rejects(memory.set([at(0), at(1), at(2), at(3)]), { code: 'INVALID_GUEST_MEMORY' });
  calls.splice(0);
  await memory.set([at(1, 4), at(2), at(3)]);
  t.same(
    calls.map(([name]) => name),
    ['removeMemRegion', 'addMemRegion'],
    'another file',
  );
});

t.test('a refused region is not counted', async (t) => {
  const { backend } = scriptedVhostBackend(0n, {
    getMaxMemSlots: async () => 1_000_000n,
    addMemRegion: async ({ guestAddress }) => {
      if (guestAddress > 0n) {
        throw new Error('no');
      }
    },
  });
  const memory = new DeviceMemory(backend);
  await memory.init(true);
  t.equal(memory.freeSlots, 512, 'not more than QEMU believes');
  await t.rejects(memory.set([at(0), at(1)]), { message: 'no' });
  t.same(memory.regions, [at(0)]);
});

t.test('addresses', async (t) => {
  const memory = new DeviceMemory(scriptedVhostBackend(0n).backend);
  t.equal(memory.guestEnd, 0n);
  await memory.set([at(2), at(4)]);
  t.equal(memory.guestEnd, 5n * 4096n);
  t.equal(memory.userAddress(2n * 4096n + 5n), 2n * 4096n + 5n + 0x7000_0000n);
  for (const hole of [0n, 3n * 4096n, 5n * 4096n]) {
    t.throws(() => memory.userAddress(hole), { code: 'INVALID_QUEUE' }, `${hole}`);
  }
});
