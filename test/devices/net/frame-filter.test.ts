import t from 'tap';
import { Arena } from '../../../src/devices/net/arena.js';
import { ControlState } from '../../../src/devices/net/control-state.js';
import { FILTER_WORDS, FrameFilter } from '../../../src/devices/net/frame-filter.js';
import { frame, macBytes } from '../../support/frames.js';

t.test('is in the arena only while it has something to say', async (t) => {
  const arena = new Arena(2 * FrameFilter.arenaBytes);
  arena.allocate(1);
  const filter = new FrameFilter(arena);
  const state = ControlState.create(macBytes('52:54:00:00:00:01'), 0);
  const other = frame(60, 0, '52:54:00:00:00:02');
  t.equal(filter.offset, undefined);
  t.ok(filter.passes(other));
  filter.update(state.filter);
  t.equal(filter.offset, undefined, 'promiscuous');
  state.change(() => {
    state.receiveMode = 0;
  });
  t.ok(filter.passes(other), 'not before it is told');
  filter.update(state.filter);
  t.equal(filter.offset, 64);
  t.notOk(filter.passes(other));
  t.same(arena.words(64, FILTER_WORDS), state.filter);
  filter.update(undefined);
  t.equal(filter.offset, undefined);
});
