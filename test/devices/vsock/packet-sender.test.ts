import t from 'tap';
import { OP_REQUEST, OP_RW } from '../../../src/devices/vsock/format.js';
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
