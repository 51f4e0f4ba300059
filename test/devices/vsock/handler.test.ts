import t from 'tap';
import { OP_REQUEST, OP_RESPONSE, OP_RST } from '../../../src/devices/vsock/format.js';
import { takeCommands } from '../../support/recorded-commands.js';
import { VsockRig } from '../../support/vsock-rig.js';

t.test('receive buffers are kept, and given back when the ring stops', async (t) => {
  const rig = new VsockRig(t);
  rig.offer(3);
  t.same(rig.seen(), []);
  rig.handler.drain?.(0);
  t.equal(takeCommands(rig.context.tables, rig.context.commands).length, 3);
  rig.listen(t, 1);
  rig.say(10, 1, OP_REQUEST);
  t.same(rig.seen(), [], 'nothing to write into');
  rig.offer(1);
  t.match(rig.seen(), [{ op: OP_RESPONSE }]);
});

t.test('VS-008 a buffer without room for a byte goes back at once', async (t) => {
  const rig = new VsockRig(t);
  rig.offer(1, 44);
  t.match(takeCommands(rig.context.tables, rig.context.commands), [{ op: 'complete', used: 0 }]);
});

t.test('VS-037 TRANSPORT_RESET where a driver has been before', async (t) => {
  for (const [where, expected] of [
    ['fresh', 0],
    ['resumed', 0],
    ['elsewhere', 1],
  ] as const) {
    const rig = new VsockRig(t);
    rig.handler.started?.(2, where);
    const event = new Uint8Array(4).fill(9);
    rig.request(2, event, 0, 4);
    const commands = takeCommands(rig.context.tables, rig.context.commands);
    t.equal(commands.length, expected, where);
    t.equal(event[0], expected === 1 ? 0 : 9);
  }
});

t.test('LF-007 another driver: its predecessor is forgotten, a stopped ring is not', async (t) => {
  const rig = new VsockRig(t);
  const accept = rig.listen(t, 1);
  rig.offer(4);
  for (const [where, answer] of [
    ['resumed', OP_RST],
    ['fresh', OP_RESPONSE],
  ] as const) {
    rig.say(10, 1, OP_REQUEST);
    accept();
    rig.seen();
    rig.handler.started?.(1, where);
    rig.say(10, 1, OP_REQUEST);
    t.match(rig.seen(), [{ op: answer }], where);
  }
});

t.test('RING_RESET: a transmit queue that begins anew beside one that receives', async (t) => {
  for (const [receives, answer] of [
    [true, OP_RST],
    [false, OP_RESPONSE],
  ] as const) {
    const rig = new VsockRig(t);
    const accept = rig.listen(t, 1);
    rig.offer(4);
    rig.handler.vringEnabled?.(0, true);
    rig.say(10, 1, OP_REQUEST);
    accept();
    rig.seen();
    rig.handler.vringEnabled?.(0, receives);
    rig.handler.started?.(1, 'fresh');
    // Its ports are taken, unless all is forgotten.
    rig.say(10, 1, OP_REQUEST);
    t.match(rig.seen(), [{ op: answer }], receives ? 'was reset alone' : 'another driver');
  }
});
