import t from 'tap';
import { OP_REQUEST, OP_RW } from '../../../src/devices/vsock/format.js';
import { VsockRig, writeNow } from '../../support/vsock-rig.js';

t.test('a packet each, in turns', async (t) => {
  const rig = new VsockRig(t);
  const accept = rig.listen(t, 1);
  rig.offer(2);
  rig.say(10, 1, OP_REQUEST);
  rig.say(11, 1, OP_REQUEST);
  rig.seen();
  const fds = [accept(), accept()];
  for (const fd of fds) {
    writeNow(fd, 'x'.repeat(20));
  }
  rig.poll();
  rig.offer(40, 50);
  const ports = rig.seen().filter(({ op }) => op === OP_RW);
  t.equal(ports.length, 8, '20 bytes in fours of 6, 6, 6 and 2');
  t.not(ports[0]?.dstPort, ports[1]?.dstPort);
  t.same(new Set(ports.slice(0, 4).map(({ dstPort }) => dstPort)).size, 2);
});

t.test('more packets than a turn hands out', async (t) => {
  const rig = new VsockRig(t);
  const accept = rig.listen(t, 1);
  rig.offer(1);
  rig.say(10, 1, OP_REQUEST);
  rig.seen();
  writeNow(accept(), 'y'.repeat(100));
  rig.poll();
  rig.offer(100, 45);
  t.equal(rig.seen().length, 100);
});
