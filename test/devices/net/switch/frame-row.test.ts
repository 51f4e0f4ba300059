// Which frames go on with a row, and the one command they become.

import t from 'tap';
import { Batch } from '../../../../src/core/virtqueue/batch.js';
import { CommandWriter } from '../../../../src/core/virtqueue/command-writer.js';
import { Arena } from '../../../../src/devices/net/arena.js';
import { NetCounters } from '../../../../src/devices/net/counters.js';
import { CopyScratch } from '../../../../src/devices/net/switch/copy-scratch.js';
import { FrameRow } from '../../../../src/devices/net/switch/frame-row.js';
import { LinkHeader, SHOWN_BYTES } from '../../../../src/devices/net/switch/link-header.js';
import { SwitchPort } from '../../../../src/devices/net/switch/switch-port.js';
import { exchange } from '../../../../src/native/index.js';
import { frame, GUEST_MAC, HOST_MAC } from '../../../support/frames.js';
import { tagged } from '../../../support/vlan-frames.js';

const VIRTIO_BYTES = 12;
const ROOM = 2048;

function rig(first: Uint8Array) {
  const tables = new exchange.Exchange();
  const batch = new Batch(tables);
  const commands = new CommandWriter(tables);
  const arena = new Arena(CopyScratch.arenaBytes + 64);
  arena.allocate(1);
  const scratch = new CopyScratch(arena, commands);
  const ports = [0, 1].map((index) => {
    const counters = new NetCounters(3).buffer;
    const vlans = { kind: 'any' } as const;
    const options = { vlans, isolated: false, stormPerSecond: 0, queueSize: 8, counters };
    return new SwitchPort(index, options, commands);
  }) as [SwitchPort, SwitchPort];
  const show = (index: number, bytes: Uint8Array, flags = 0) => {
    const at = index * exchange.RECORD_WORDS;
    tables.requests[at + exchange.REQUEST_CHAIN] = 100 + index;
    tables.requests[at + exchange.REQUEST_READABLE_BYTES] = VIRTIO_BYTES + bytes.byteLength;
    tables.requests[at + exchange.REQUEST_HEADER] = flags;
    const to = (at + exchange.REQUEST_HEADER) * 4 + VIRTIO_BYTES;
    tables.bytes.fill(0, to, to + SHOWN_BYTES - VIRTIO_BYTES);
    tables.bytes.set(bytes.subarray(0, SHOWN_BYTES - VIRTIO_BYTES), to);
  };
  const link = new LinkHeader();
  show(0, first);
  link.read(batch, 0);
  const row = new FrameRow(commands, scratch);
  const prefixBytes = VIRTIO_BYTES + link.bytes;
  const open = (shift = 0) => {
    row.begin();
    const prefix = scratch.take(prefixBytes + shift) as number;
    row.open(ports[0], ports[1], link, prefix, prefixBytes + shift);
  };
  return { tables, batch, commands, ports, scratch, row, show, open };
}

t.test('one command for frames with the same headers', (t) => {
  const { row, ports, batch, show, open, commands, tables, scratch } = rig(
    tagged(frame(100, 0, HOST_MAC, GUEST_MAC), 7),
  );
  open(-4);
  for (let i = 0; i < 3; i++) {
    ports[1].chains.post(200 + i, ROOM);
    show(i, tagged(frame(100 + i, i, HOST_MAC, GUEST_MAC), 7));
    t.ok(row.add(ports[0], batch, i), `frame ${i}`);
  }
  row.close();
  t.equal(commands.take(), 1);
  const word = (at: number) => tables.commands[at];
  t.equal(word(exchange.COMMAND_CODE), exchange.OP_COPY_FRAMES);
  t.equal(word(exchange.COMMAND_USED_LENGTH), 3);
  t.equal(word(exchange.COMMAND_FILE), VIRTIO_BYTES + 18, 'behind the headers of the sender');
  t.equal(word(exchange.COMMAND_TAIL_OFFSET), scratch.inArena(0));
  t.equal(word(exchange.COMMAND_TAIL_BYTE), VIRTIO_BYTES + 14, 'the tag is left out');
  const pairs = (word(exchange.COMMAND_CHAIN_OFFSET) as number) - scratch.inArena(0);
  t.same([...scratch.words.subarray(pairs / 4, pairs / 4 + 6)], [100, 200, 101, 201, 102, 202]);
  t.equal(row.add(ports[0], batch, 0), false, 'it has ended');
  row.close();
  t.equal(commands.take(), 0, 'and is ordered once');
  t.end();
});

t.test('what does not go on with it', (t) => {
  const plain = frame(60, 1, HOST_MAC, GUEST_MAC);
  const inOtherHalf = plain.slice();
  inOtherHalf[15] = 0xff;
  const changed = (at: number) => {
    const bytes = plain.slice();
    bytes[at] = (bytes[at] as number) ^ 0x10;
    return bytes;
  };
  const rows: readonly (readonly [
    what: string,
    bytes: Uint8Array,
    flags: number,
    goes: boolean,
  ])[] = [
    ['the same', plain, 0, true],
    ['another payload', inOtherHalf, 0, true],
    ['no payload', plain.slice(0, 14), 0, true],
    ['another destination', changed(0), 0, false],
    ['another source', changed(11), 0, false],
    ['another type', changed(13), 0, false],
    ['a tag', tagged(plain, 5), 0, false],
    ['a checksum to be done', plain, 1, false],
    ['a segmented frame', plain, 0x100, false],
    ['too short', plain.slice(0, 13), 0, false],
    ['too long', frame(65_551, 1, HOST_MAC, GUEST_MAC), 0, false],
    ['no room for it', frame(ROOM, 1, HOST_MAC, GUEST_MAC), 0, false],
  ];
  for (const [what, bytes, flags, goes] of rows) {
    const { row, ports, batch, show, open } = rig(plain);
    open();
    ports[1].chains.post(200, ROOM);
    show(1, bytes, flags);
    t.equal(row.add(ports[1], batch, 1), false, 'of another port');
    t.equal(row.add(ports[0], batch, 1), goes, what);
    t.equal(ports[1].chains.chainsFor(1), goes ? 0 : 1, `${what}: chains taken`);
  }
  t.end();
});

t.test('a batch that begins has no row, and its pairs a place of their own', (t) => {
  const { row, ports, batch, show, open, commands } = rig(frame(60, 1, HOST_MAC, GUEST_MAC));
  show(1, frame(60, 1, HOST_MAC, GUEST_MAC));
  ports[1].chains.post(200, ROOM);
  t.equal(row.add(ports[0], batch, 1), false, 'none was opened');
  open();
  row.begin();
  t.equal(row.add(ports[0], batch, 1), false);
  row.close();
  t.equal(commands.take(), 0);
  t.end();
});
