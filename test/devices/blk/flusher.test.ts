import t from 'tap';
import { CommandWriter } from '../../../src/core/virtqueue/command-writer.js';
import { Flusher } from '../../../src/devices/blk/flusher.js';
import { SharedState } from '../../../src/devices/blk/shared-state.js';
import { TAG_READ, TAG_SYNC } from '../../../src/devices/blk/tags.js';
import { exchange } from '../../../src/native/index.js';
import { takeCommands } from '../../support/recorded-commands.js';

function open() {
  const tables = new exchange.Exchange();
  const writer = new CommandWriter(tables);
  const state = new SharedState();
  const flusher = new Flusher(writer, state);
  const ended: string[] = [];
  const flush = (name: string) => flusher.flush((status) => ended.push(`${name}:${status}`));
  const syncs = () => takeCommands(tables, writer).filter(({ op }) => op === 'sync').length;
  return { state, flusher, ended, flush, syncs };
}

t.test('one fdatasync for all that wait for one', async (t) => {
  const { flusher, ended, flush, syncs } = open();
  flush('a');
  t.equal(syncs(), 1);
  flush('b');
  flush('c');
  t.equal(syncs(), 0, 'one at a time');
  flusher.done(0);
  t.same(ended, ['a:0'], 'those that came later wait for one that begins after them');
  t.equal(syncs(), 1);
  flusher.done(0);
  t.same(ended, ['a:0', 'b:0', 'c:0']);
  t.equal(syncs(), 0);
  flush('d');
  t.equal(syncs(), 1);
});

t.test('a failure stays (BK-026)', async (t) => {
  const { state, flusher, ended, flush, syncs } = open();
  flush('a');
  flush('b');
  flusher.done(-5);
  t.equal(state.failed, true);
  t.same(ended, ['a:1']);
  flusher.done(0);
  t.same(ended, ['a:1', 'b:1'], 'a later success takes nothing back');
  syncs();
  flush('c');
  t.same(ended.at(-1), 'c:1');
  t.equal(syncs(), 0, 'not even tried');
});

t.test('a failure elsewhere counts while a flush runs', async (t) => {
  const { state, flusher, ended, flush } = open();
  flush('a');
  state.fail();
  flusher.done(0);
  t.same(ended, ['a:1']);
});

t.test('owns its tag and no other', async (t) => {
  const { flusher } = open();
  t.equal(flusher.owns(TAG_SYNC), true);
  t.equal(flusher.owns(TAG_READ), false);
});

t.test('a callback may flush again', async (t) => {
  const { flusher, ended, flush, syncs } = open();
  flusher.flush(() => flush('inner'));
  syncs();
  flusher.done(0);
  t.equal(syncs(), 1);
  flusher.done(0);
  t.same(ended, ['inner:0']);
});
