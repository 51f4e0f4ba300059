// Chains in order, round and round.

import t from 'tap';
import type { CommandWriter } from '../../../../src/core/virtqueue/command-writer.js';
import { Arena } from '../../../../src/devices/net/arena.js';
import { ReceiveChains } from '../../../../src/devices/net/switch/receive-chains.js';

function rig() {
  const done: string[] = [];
  const commands = {
    complete: (chain: number, bytes: number) => done.push(`complete ${chain} ${bytes}`),
    unpop: (chain: number) => done.push(`unpop ${chain}`),
  } as unknown as CommandWriter;
  const arena = new Arena(ReceiveChains.arenaBytes(8) + 128);
  arena.allocate(1);
  const chains = new ReceiveChains(commands, arena, 8);
  return { chains, done, shelf: arena.words(chains.offset, 4 + 16) };
}

t.test('one frame, one chain, unless merged', (t) => {
  const { chains } = rig();
  t.equal(chains.chainsFor(1), 0, 'none there');
  for (const [chain, room] of [100, 200, 300].entries()) {
    chains.post(chain, room);
  }
  t.same(
    [100, 101].map((bytes) => chains.chainsFor(bytes)),
    [1, 0],
  );
  chains.merge = true;
  t.same(
    [100, 101, 300, 301, 600, 601].map((bytes) => chains.chainsFor(bytes)),
    [1, 2, 2, 3, 3, 0],
  );
  t.same([chains.take(), chains.chainsFor(500), chains.take()], [0, 2, 1]);
  t.end();
});

t.test('round the ring', (t) => {
  const { chains } = rig();
  for (let i = 0; i < 100; i++) {
    chains.post(i, 50 + i);
    chains.post(i + 1000, 2000);
    t.equal(chains.chainsFor(50 + i), 1);
    t.equal(chains.take(), i);
    t.equal(chains.take(), i + 1000);
  }
  t.end();
});

t.test('too short (NT-012), and taken back in reverse', (t) => {
  const { chains, done } = rig();
  chains.post(1, 11);
  chains.post(2, 12);
  chains.post(3, 12);
  chains.takeBack();
  t.same(done, ['complete 1 0', 'unpop 3', 'unpop 2']);
  t.equal(chains.chainsFor(1), 0);
  t.end();
});

t.test('native code puts and takes as well', (t) => {
  const { chains, shelf, done } = rig();
  t.same([...shelf.subarray(0, 4)], [0, 0, 7, 12], 'taken, put, mask, shortest');
  // Counts go on beyond 32 bits.
  shelf.fill(2 ** 32 - 2, 0, 2);
  for (const [chain, room] of [100, 200, 300, 400].entries()) {
    const at = (shelf[1] as number) & 7;
    shelf[4 + at] = chain;
    shelf[4 + 8 + at] = room;
    shelf[1] = (shelf[1] as number) + 1;
  }
  t.same([chains.take(), chains.chainsFor(200), chains.chainsFor(201)], [0, 1, 0]);
  chains.post(4, 500);
  t.same([shelf[0], shelf[1]], [2 ** 32 - 1, 3]);
  chains.takeBack();
  t.same(done, ['unpop 4', 'unpop 3', 'unpop 2', 'unpop 1']);
  t.same([shelf[0], shelf[1]], [3, 3]);
  t.end();
});
