import t from 'tap';
import * as tags from '../../../src/devices/blk/tags.js';

t.test('tags tell operations apart and fit a signed word', async (t) => {
  const { TAG_READ, TAG_WRITE, TAG_DURABLE_WRITE, TAG_SYNC, TAG_FIRST_RANGE, TAG_MAX } = tags;
  const fixed = [TAG_READ, TAG_WRITE, TAG_DURABLE_WRITE, TAG_SYNC];
  t.equal(new Set(fixed).size, fixed.length);
  t.ok(Math.max(...fixed) < TAG_FIRST_RANGE);
  t.equal(Int32Array.of(TAG_MAX)[0], TAG_MAX);
});
