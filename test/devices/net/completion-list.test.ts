import t from 'tap';
import type { HandlerContext } from '../../../src/core/device.js';
import { Arena } from '../../../src/devices/net/arena.js';
import { CompletionList } from '../../../src/devices/net/completion-list.js';

const RING = 8;

/** What was ordered, as the chains it named at that moment. */
function open() {
  const arena = new Arena(CompletionList.arenaBytes(RING));
  const ordered: number[][] = [];
  const commands = {
    completeList: (offset: number, count: number) => {
      ordered.push([...arena.words(offset, count)]);
    },
  };
  const list = new CompletionList({ commands } as unknown as HandlerContext, arena, RING);
  return { list, ordered };
}

t.test('one command for a batch, none for nothing', async (t) => {
  const { list, ordered } = open();
  list.flush();
  list.add(5);
  list.add(7);
  list.flush();
  list.flush();
  t.same(ordered, [[5, 7]]);
});

t.test('goes round without a gap, in two commands where it does', async (t) => {
  const { list, ordered } = open();
  for (let chain = 0; chain < 3 * RING; chain++) {
    list.add(chain);
    if (chain % 3 === 2) {
      list.flush();
    }
  }
  list.flush();
  t.same(
    ordered.flat(),
    Array.from({ length: 3 * RING }, (_, i) => i),
  );
  t.ok(ordered.some((chains, i) => i > 0 && chains.length < 3));
});
