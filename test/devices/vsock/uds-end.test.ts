import t from 'tap';
import { OP_REQUEST, OP_RESPONSE, OP_RST, OP_RW } from '../../../src/devices/vsock/format.js';
import { check, native } from '../../../src/native/index.js';
import { readNow, VsockRig, writeNow } from '../../support/vsock-rig.js';

t.test("CONNECT, OK, and what follows the line is the guest's", async (t) => {
  const rig = new VsockRig(t);
  rig.offer(8);
  const fd = check('connect', native.hostConnect(rig.path, 1));
  writeNow(fd, 'CONN');
  t.same(rig.poll(), []);
  writeNow(fd, 'ECT 7\nhello');
  const [request] = rig.poll();
  t.match(request, { op: OP_REQUEST, dstPort: 7 });
  t.equal(readNow(fd), '', 'not before the guest has accepted');
  rig.say(7, request?.srcPort ?? 0, OP_RESPONSE);
  t.equal(readNow(fd), `OK ${request?.srcPort}\n`);
  t.match(rig.seen(), [{ op: OP_RW, text: 'hello' }]);
  native.fdClose(fd);
});

t.test('a guest that refuses', async (t) => {
  const rig = new VsockRig(t);
  rig.offer(8);
  const fd = check('connect', native.hostConnect(rig.path, 1));
  writeNow(fd, 'CONNECT 7\n');
  rig.poll();
  const [request] = rig.poll();
  rig.say(7, request?.srcPort ?? 0, OP_RST);
  t.equal(native.hostReceive(fd, new Uint8Array(9), 0, 9, false), 0, 'closed without a word');
  native.fdClose(fd);
});
