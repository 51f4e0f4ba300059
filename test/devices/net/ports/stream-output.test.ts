import t from 'tap';
import { Arena } from '../../../../src/devices/net/arena.js';
import {
  STREAM_BUFFER_BYTES,
  StreamOutput,
} from '../../../../src/devices/net/ports/stream-output.js';

t.test('frames behind their lengths, until there is no room', async (t) => {
  const arena = new Arena(STREAM_BUFFER_BYTES + 64);
  arena.allocate(1);
  const output = new StreamOutput(arena);
  output.reserve(3)?.set([7, 8, 9]);
  output.reserve(1)?.set([5]);
  const sent = () => [...arena.bytes.subarray(output.offset, output.offset + output.bytes)];
  t.same(sent(), [0, 0, 0, 3, 7, 8, 9, 0, 0, 0, 1, 5]);
  output.sent(5);
  t.same(sent(), [8, 9, 0, 0, 0, 1, 5], 'after a short send');
  t.equal(output.reserve(STREAM_BUFFER_BYTES - 10), undefined);
  t.ok(output.reserve(STREAM_BUFFER_BYTES - 11));
  output.reset();
  t.equal(output.bytes, 0);
});
