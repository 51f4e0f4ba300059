// Decisions as native code reads them.

import t from 'tap';
import { Batch } from '../../../../src/core/virtqueue/batch.js';
import { Arena } from '../../../../src/devices/net/arena.js';
import { FlowTable } from '../../../../src/devices/net/switch/flow-table.js';
import { exchange } from '../../../../src/native/index.js';

const PORTS = 3;
const FLOW_BYTES = exchange.FLOW_WORDS * 4;
const PREFIX = Uint32Array.from({ length: 7 }, (_, i) => 0x1000 + i);

function rig() {
  const tables = new exchange.Exchange();
  const batch = new Batch(tables);
  const arena = new Arena(FlowTable.arenaBytes(PORTS) + 64);
  arena.allocate(1);
  const flows = new FlowTable(arena, PORTS);
  /** A frame whose 30 bytes are `first` and those that follow it. */
  const show = (index: number, first: number, change?: number) => {
    const at = (index * exchange.RECORD_WORDS + exchange.REQUEST_HEADER) * 4;
    for (let i = 0; i < 30; i++) {
      tables.bytes[at + i] = (first + i) & 0xff;
    }
    if (change !== undefined) {
      tables.bytes[at + change] = (tables.bytes[at + change] as number) ^ 1;
    }
  };
  const open = (from: number, index: number, tagged: boolean, untilS = 1) =>
    flows.open(from, batch, index, tagged, 5, PREFIX, 26, 30, 42, untilS);
  const bytesOf = (from: number, flow: number) => {
    const at = flows.offsetOf(from) + flow * FLOW_BYTES;
    return arena.bytes.subarray(at, at + FLOW_BYTES);
  };
  const untilMs = (from: number, flow: number) => {
    const bytes = bytesOf(from, flow);
    const at = bytes.byteOffset + exchange.FLOW_UNTIL_MS * 4;
    return new Float64Array(bytes.buffer as ArrayBuffer, at, 1)[0] as number;
  };
  const opened = (from: number) =>
    Array.from({ length: exchange.FLOWS_PER_QUEUE }, (_, i) => (untilMs(from, i) > 0 ? 1 : 0));
  return { flows, show, open, bytesOf, untilMs, opened };
}

t.test('what is compared: no num_buffers, nothing behind the type', (t) => {
  for (const tagged of [false, true]) {
    const { show, open, bytesOf } = rig();
    show(2, 7);
    open(1, 2, tagged);
    const flow = bytesOf(1, 0);
    const front = Array.from({ length: 32 }, (_, i) => (i < 30 ? 7 + i : 0));
    t.same([...flow.subarray(0, 32)], front);
    const last = tagged ? 30 : 26;
    const mask = front.map((_, i) => (i < last && i !== 10 && i !== 11 ? 0xff : 0));
    t.same([...flow.subarray(32, 64)], mask);
    const words = new Uint32Array(flow.buffer as ArrayBuffer, flow.byteOffset, FLOW_BYTES / 4);
    const at = exchange.FLOW_PREFIX;
    t.same([...words.subarray(at, at + 8)], [...PREFIX, 0]);
    t.same([...words.subarray(exchange.FLOW_PREFIX_BYTES)], [26, 30, 42, 12 + 65_550, 5, 0]);
  }
  t.end();
});

t.test('a flow for a front, eight for a port', (t) => {
  const { flows, show, open, opened } = rig();
  show(0, 1);
  open(0, 0, false);
  open(0, 0, false);
  show(1, 1, 10);
  open(0, 1, false);
  t.same(opened(0), [1, 0, 0, 0, 0, 0, 0, 0], 'the same but for num_buffers');
  for (let i = 1; i < 8; i++) {
    show(0, i * 32);
    open(0, 0, true);
  }
  t.same([opened(0), opened(1)], [Array(8).fill(1), Array(8).fill(0)]);
  show(0, 77);
  open(0, 0, true);
  show(0, 32);
  open(0, 0, true);
  t.same(opened(0), Array(8).fill(1), 'the first makes room');
  open(2, 0, true);
  flows.clear();
  t.same([opened(0), opened(2)], [Array(8).fill(0), Array(8).fill(0)], 'all are taken back');
  flows.clear();
  t.end();
});

t.test('time, on the clock native code goes by', (t) => {
  const { show, open, untilMs } = rig();
  show(0, 1);
  const [seconds, nanoseconds] = process.hrtime();
  open(0, 0, false, performance.now() / 1000 + 3);
  const leftMs = untilMs(0, 0) - (seconds * 1000 + nanoseconds / 1e6);
  t.ok(Math.abs(leftMs - 3000) < 100, `${leftMs} ms are left of 3000`);
  t.end();
});
