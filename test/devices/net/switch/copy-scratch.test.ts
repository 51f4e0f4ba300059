// Room for copies that are under way.

import t from 'tap';
import { CommandWriter } from '../../../../src/core/virtqueue/command-writer.js';
import { Arena } from '../../../../src/devices/net/arena.js';
import { CopyScratch } from '../../../../src/devices/net/switch/copy-scratch.js';
import { exchange } from '../../../../src/native/index.js';

t.test('given out once, free again when all copies are done', (t) => {
  const arena = new Arena(CopyScratch.arenaBytes + 64);
  arena.allocate(1);
  const commands = new CommandWriter(new exchange.Exchange());
  const scratch = new CopyScratch(arena, commands);
  t.same([scratch.take(30), scratch.take(1), scratch.take(4)], [0, 32, 36]);
  t.equal(scratch.inArena(32), 96);
  scratch.words[8] = 0x01020304;
  t.same([...arena.bytes.subarray(96, 100)], [4, 3, 2, 1]);
  t.equal(scratch.take(CopyScratch.arenaBytes), undefined);
  commands.complete(1, 0);
  scratch.begin();
  t.equal(scratch.take(4), 40, 'a command still names what was there');
  commands.take();
  scratch.begin();
  t.equal(scratch.take(CopyScratch.arenaBytes), 0);
  t.end();
});
