import t, { type Test } from 'tap';
import {
  OP_REQUEST,
  OP_RST,
  OP_RW,
  SEQ_EOM,
  TYPE_SEQPACKET,
} from '../../../src/devices/vsock/format.js';
import { UdsListener } from '../../../src/devices/vsock/uds-listener.js';
import { check, native } from '../../../src/native/index.js';
import { takeCommands } from '../../support/recorded-commands.js';
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

t.test('64 KiB of a stream, and the driver sees them before there is more', async (t) => {
  const rig = new VsockRig(t);
  const accept = rig.listen(t, 1);
  rig.offer(1);
  rig.say(10, 1, OP_REQUEST, '', 0, 1 << 20);
  const fd = accept();
  rig.seen();
  rig.poll();
  rig.offer(3, 44 + 65_536);
  t.equal(writeNow(fd, 's'.repeat(150_000)), 150_000);
  const { tables, commands, watched } = rig.context;
  rig.handler.event?.([...watched.keys()].at(-1) as number, false);
  for (const bytes of [65_536, 65_536, 150_000 - 2 * 65_536]) {
    const [packet, ...more] = takeCommands(tables, commands);
    t.match(packet, { op: 'complete', used: 44 + bytes });
    t.same(more, []);
    rig.handler.again?.();
  }
});

t.test('VS-027 a flood has one turn of 64 KiB, then its neighbours have theirs', async (t) => {
  const rig = new VsockRig(t);
  const accept = rig.listen(t, 1);
  rig.offer(9);
  const fds: number[] = [];
  for (let i = 0; i < 9; i++) {
    rig.say(10 + i, 1, OP_REQUEST, '', 0, 1 << 20);
    fds.push(accept());
  }
  rig.seen();
  const [flood, ...quiet] = fds as [number, ...number[]];
  t.ok(writeNow(flood, 'f'.repeat(1 << 20)) > 65_536 + 9 * 4096);
  for (const fd of quiet) {
    writeNow(fd, 'psst');
  }
  rig.poll();
  rig.offer(40, 44 + 4096);
  const packets = rig.seen();
  const last = packets.findLastIndex(({ text }) => text === 'psst');
  const before = packets.slice(0, last).filter(({ dstPort }) => dstPort === 10);
  t.equal(packets.filter(({ text }) => text === 'psst').length, quiet.length);
  t.ok(before.length * 4096 <= 65_536, `${before.length} packets of the flood came first`);
  t.equal(packets.length, 40, 'and the flood goes on');
});

t.test('one receive fills several buffers, the last of credit goes in halves', async (t) => {
  const rig = new VsockRig(t);
  const accept = rig.listen(t, 1);
  rig.offer(1);
  rig.say(10, 1, OP_REQUEST, '', 0, 40_000);
  const fd = accept();
  rig.seen();
  const text = Array.from({ length: 50_000 }, (_, i) => String.fromCharCode(32 + (i % 90))).join(
    '',
  );
  rig.poll();
  rig.offer(30, 44 + 4096);
  writeNow(fd, text);
  const packets = rig.poll().filter(({ op }) => op === OP_RW);
  t.equal(packets.map((packet) => packet.text).join(''), text.slice(0, 40_000));
  const [first, second] = [packets.slice(0, 5), packets.slice(5)];
  t.same(
    first.map((packet) => packet.text.length),
    [4096, 4096, 4096, 4096, 20_000 - 4 * 4096],
    'half of the credit',
  );
  t.ok(second.length > 3 && second.every((packet) => packet.text.length <= 4096));
});

/** A guest's connection of messages to the host's port 1, and the host's end of it. */
function messages(t: Test, rig: VsockRig, guestPort: number, bufAlloc: number): number {
  const listener = UdsListener.seqpacket(`${rig.path}_1`);
  rig.offer(1);
  rig.say(guestPort, 1, OP_REQUEST, '', 0, bufAlloc, { type: TYPE_SEQPACKET });
  const fd = check('accept', native.hostAccept(listener.fd));
  listener.close();
  t.teardown(() => native.fdClose(fd));
  rig.seen();
  return fd;
}

t.test('a message in one receive, its end told in the last packet', async (t) => {
  const rig = new VsockRig(t);
  const fd = messages(t, rig, 10, 1 << 20);
  rig.offer(8, 44 + 100);
  for (const text of ['short', 'm'.repeat(250), 'x'.repeat(100)]) writeNow(fd, text);
  t.same(
    rig.poll().map(({ text, flags }) => [text.length, flags]),
    [
      [5, SEQ_EOM],
      [100, 0],
      [100, 0],
      [50, SEQ_EOM],
      [100, SEQ_EOM],
    ],
  );
  t.equal(rig.context.copiedBytes, 0, 'no payload went through our hands');
});

t.test('a message for which buffers, or credit, are short', async (t) => {
  const rig = new VsockRig(t);
  const fd = messages(t, rig, 10, 120);
  rig.offer(2, 44 + 50);
  const text = Array.from({ length: 110 }, (_, i) => String.fromCharCode(48 + (i % 75))).join('');
  writeNow(fd, text);
  writeNow(fd, 'next');
  const first = rig.poll();
  t.same(
    first.map(({ text, flags }) => [text.length, flags]),
    [
      [50, 0],
      [50, 0],
    ],
  );
  rig.offer(2, 44 + 50);
  const second = rig.seen();
  t.equal([...first, ...second].map((packet) => packet.text).join(''), `${text}next`);
  t.same(
    second.map(({ flags }) => flags),
    [SEQ_EOM, SEQ_EOM],
  );
  t.equal(second[0]?.text.length, 10);
});

t.test('VS-027 messages that guests take a byte of hold no more than there is', async (t) => {
  const rig = new VsockRig(t);
  const count = 700;
  const length = 100_000;
  const hosts: number[] = [];
  for (let i = 0; i < count; i++) {
    hosts.push(messages(t, rig, 100 + i, length));
  }
  for (const fd of hosts) t.equal(writeNow(fd, 'm'.repeat(length)), length);
  t.same(rig.poll(), []);
  rig.offer(2 * count, 45);
  const packets = rig.seen();
  const begun = new Set(packets.filter(({ op }) => op === OP_RW).map(({ dstPort }) => dstPort))
    .size;
  t.ok(begun * length <= 64 << 20, `${begun} messages are held`);
  t.equal(packets.filter(({ op }) => op === OP_RST).length, count - begun, 'the others end');
  for (let i = 0; i < count; i++) {
    rig.say(100 + i, 1, OP_RST);
  }
  writeNow(messages(t, rig, 50, length), 'm'.repeat(length));
  t.same(rig.poll(), []);
  rig.offer(1, 45);
  t.match(rig.seen(), [{ op: OP_RW, dstPort: 50 }], 'and there is room again');
});
