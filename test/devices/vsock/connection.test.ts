import t, { type Test } from 'tap';
import {
  OP_CREDIT_REQUEST,
  OP_CREDIT_UPDATE,
  OP_REQUEST,
  OP_RESPONSE,
  OP_RST,
  OP_RW,
  OP_SHUTDOWN,
} from '../../../src/devices/vsock/format.js';
import { native } from '../../../src/native/index.js';
import { readNow, VsockRig, writeNow } from '../../support/vsock-rig.js';

function open(t: Test, rig: VsockRig) {
  const accept = rig.listen(t, 1);
  rig.offer(8);
  rig.say(10, 1, OP_REQUEST);
  const fd = accept();
  t.match(rig.seen(), [{ op: OP_RESPONSE, srcPort: 1, dstPort: 10 }]);
  return fd;
}

t.test('data both ways', async (t) => {
  const rig = new VsockRig(t);
  const fd = open(t, rig);
  rig.say(10, 1, OP_RW, 'out');
  t.equal(readNow(fd), 'out');
  writeNow(fd, 'in');
  t.match(rig.poll(), [{ op: OP_RW, text: 'in' }]);
});

t.test('a host that ends, then leaves', async (t) => {
  const rig = new VsockRig(t);
  const fd = open(t, rig);
  writeNow(fd, 'last');
  native.hostShutdown(fd, 1);
  t.match(rig.poll(), [
    { op: OP_RW, text: 'last' },
    { op: OP_SHUTDOWN, flags: 2 },
  ]);
  rig.say(10, 1, OP_RW, 'still');
  t.equal(readNow(fd), 'still');
  for (const [token, { fd: watched }] of rig.context.watched) {
    if (watched !== fd && token >= 3) {
      rig.handler.event?.(token, true);
    }
  }
  t.match(rig.seen(), [{ op: OP_SHUTDOWN, flags: 3 }]);
});

t.test('a host that leaves says so once, also before the kernel tells of it', async (t) => {
  const rig = new VsockRig(t);
  const accept = rig.listen(t, 1);
  rig.offer(8);
  rig.say(10, 1, OP_REQUEST);
  const fd = accept();
  writeNow(fd, 'last');
  // The descriptor itself is closed at the end of the test.
  native.hostShutdown(fd, 2);
  t.match(rig.poll(), [
    { op: OP_RESPONSE },
    { op: OP_RW, text: 'last' },
    { op: OP_SHUTDOWN, flags: 3 },
  ]);
});

t.test('a guest that ends: RST at once, the host still gets its bytes', async (t) => {
  const rig = new VsockRig(t);
  const fd = open(t, rig);
  rig.say(10, 1, OP_RW, 'bytes');
  rig.say(10, 1, OP_SHUTDOWN, '', 3);
  t.match(rig.seen(), [{ op: OP_RST, dstPort: 10 }]);
  t.equal(readNow(fd), 'bytes');
  rig.say(10, 1, OP_RW, 'x');
  t.match(rig.seen(), [{ op: OP_RST }], 'nobody knows it any more');
});

t.test('credit is asked for once', async (t) => {
  const rig = new VsockRig(t);
  const fd = open(t, rig);
  rig.say(10, 1, OP_CREDIT_UPDATE, '', 0, 2);
  writeNow(fd, 'four');
  t.match(rig.poll(), [{ op: OP_RW, text: 'fo' }, { op: OP_CREDIT_REQUEST }]);
  t.same(rig.poll(), []);
  rig.say(10, 1, OP_CREDIT_UPDATE, '', 0, 4);
  t.match(rig.seen(), [{ op: OP_RW, text: 'ur' }, { op: OP_CREDIT_REQUEST }]);
});

t.test('VS-026 answers to CREDIT_REQUEST are one', async (t) => {
  const rig = new VsockRig(t);
  open(t, rig);
  rig.handler.drain?.(0);
  rig.seen();
  for (let i = 0; i < 100; i++) {
    rig.say(10, 1, 7);
  }
  rig.offer(8);
  t.match(rig.seen(), [{ op: OP_CREDIT_UPDATE }]);
});
