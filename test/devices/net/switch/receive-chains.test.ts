// Chains in order, round and round.

import t from 'tap';
import type { CommandWriter } from '../../../../src/core/virtqueue/command-writer.js';
import { ReceiveChains } from '../../../../src/devices/net/switch/receive-chains.js';

function rig() {
  const done: string[] = [];
  const commands = {
    complete: (chain: number, bytes: number) => done.push(`complete ${chain} ${bytes}`),
    unpop: (chain: number) => done.push(`unpop ${chain}`),
  } as unknown as CommandWriter;
  return { chains: new ReceiveChains(commands, 8), done };
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
