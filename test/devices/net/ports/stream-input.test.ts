import t from 'tap';
import { Arena } from '../../../../src/devices/net/arena.js';
import { StreamInput } from '../../../../src/devices/net/ports/stream-input.js';
import { STREAM_BUFFER_BYTES } from '../../../../src/devices/net/ports/stream-output.js';
import type { ReceiveQueue } from '../../../../src/devices/net/receive-queue.js';

/** Takes `room` frames. */
function inputWith(room: number) {
  const taken: number[] = [];
  const dropped: string[] = [];
  const receive = {
    ready: false,
    deliver: (frame: Uint8Array) => taken.length < room && taken.push(frame.byteLength) > 0,
    dropped: (reason: string) => dropped.push(reason),
  };
  const arena = new Arena(STREAM_BUFFER_BYTES);
  const input = new StreamInput(arena, receive as unknown as ReceiveQueue);
  input.attached = true;
  const arrive = (bytes: readonly number[]) => {
    arena.bytes.set(bytes, input.offset);
    input.arrived(bytes.length);
    input.deliver();
  };
  /** A receive whose bytes are written where they belonged when it was ordered. */
  const order = () => {
    const { offset } = input;
    input.ordered();
    return (bytes: readonly number[]) => {
      arena.bytes.set(bytes, offset);
      input.arrived(bytes.length);
      input.deliver();
    };
  };
  return { input, receive, taken, dropped, arrive, order };
}

const framed = (bytes: number) => [0, 0, bytes >> 8, bytes & 255, ...new Array(bytes).fill(1)];

t.test('frames in any pieces', async (t) => {
  const { input, taken, arrive } = inputWith(100);
  const stream = [20, 300, 14].flatMap(framed);
  for (const byte of stream) {
    arrive([byte]);
  }
  arrive(stream);
  t.same(taken, [20, 300, 14, 20, 300, 14]);
  t.equal(input.room, STREAM_BUFFER_BYTES);
});

t.test('a frame without room waits, or is dropped when nothing better will come', async (t) => {
  const { receive, taken, dropped, arrive, input } = inputWith(1);
  arrive([...framed(20), ...framed(30)]);
  t.same([taken, dropped], [[20], []]);
  receive.ready = true;
  input.deliver();
  t.same([taken, dropped], [[20], ['room']]);
});

t.test('what waits does not move under a receive', async (t) => {
  const { input, taken, arrive, order } = inputWith(2);
  input.attached = false;
  arrive(framed(20));
  const arrived = order();
  input.attached = true;
  input.deliver();
  t.same(taken, [], 'the driver is ready now, the receive is not over');
  arrived(framed(30));
  t.same(taken, [20, 30], 'in their places');
});

t.test('lengths that are none (NT-031)', async (t) => {
  const { input, dropped, arrive } = inputWith(100);
  arrive(framed(13));
  t.same(dropped, ['length']);
  arrive([0, 1, 0, 15]);
  t.same([input.broken, input.room], [true, 0]);
  input.reset();
  t.equal(input.broken, false);
});
