import t from 'tap';
import { HEADER_BYTES, OP_REQUEST, OP_RST, OP_RW } from '../../../src/devices/vsock/format.js';
import { readNow, VsockRig } from '../../support/vsock-rig.js';

t.test('VS-006 a header that is too short has nobody to answer to', async (t) => {
  const rig = new VsockRig(t);
  rig.offer(4);
  rig.request(1, new Uint8Array(43), 43, 0);
  t.same(rig.seen(), []);
});

t.test('VS-012 RST is answered by nothing, all else by RST', async (t) => {
  const rig = new VsockRig(t);
  rig.offer(16);
  for (const op of [0, 2, 4, 5, 6, 7, 8, 0xffff]) {
    rig.say(10, 1, op);
    t.match(rig.seen(), [{ op: OP_RST, srcPort: 1, dstPort: 10 }], `op ${op}`);
  }
  rig.say(10, 1, OP_RST);
  t.same(rig.seen(), []);
});

t.test('VS-010 a second REQUEST ends the first connection', async (t) => {
  const rig = new VsockRig(t);
  rig.offer(4);
  const accept = rig.listen(t, 1);
  rig.say(10, 1, OP_REQUEST);
  accept();
  rig.seen();
  rig.say(10, 1, OP_REQUEST);
  t.match(rig.seen(), [{ op: OP_RST }]);
  rig.say(10, 1, OP_REQUEST);
  t.match(rig.seen(), [{ op: 2 }], 'its ports are free again');
});

t.test('VS-007 a header rewritten once the packet is there', async (t) => {
  const rig = new VsockRig(t);
  rig.offer(4);
  const accept = rig.listen(t, 1);
  rig.say(10, 1, OP_REQUEST);
  const host = accept();
  rig.seen();
  // Length, ports and op: a look at any of them would find no such connection, or too much of it.
  rig.say(10, 1, OP_RW, 'as it came', 0, 4096, {
    rewrite: (chain) => void chain.fill(0xff, 0, HEADER_BYTES),
  });
  t.same(rig.seen(), []);
  t.equal(readNow(host), 'as it came');
});
