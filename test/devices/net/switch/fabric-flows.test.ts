// Which decisions of the fabric native code may go by, and for how long.

import t from 'tap';
import type { HandlerContext } from '../../../../src/core/device.js';
import { Batch } from '../../../../src/core/virtqueue/batch.js';
import { CommandWriter } from '../../../../src/core/virtqueue/command-writer.js';
import { Arena } from '../../../../src/devices/net/arena.js';
import { NetCounters } from '../../../../src/devices/net/counters.js';
import { Fabric } from '../../../../src/devices/net/switch/fabric.js';
import { LEASE_S } from '../../../../src/devices/net/switch/flow-table.js';
import { LinkHeader } from '../../../../src/devices/net/switch/link-header.js';
import { SwitchPort } from '../../../../src/devices/net/switch/switch-port.js';
import { exchange } from '../../../../src/native/index.js';
import { BROADCAST, frame } from '../../../support/frames.js';

const PORTS = 3;
const ROOM = 2048;
const GUEST_CSUM = 1n << 1n;
const mac = (port: number) => `52:54:00:00:00:0${port}`;
const NEEDS_CSUM = Uint32Array.of(1, 34 << 16, 16);

function rig({ ageS = 300, captures = false, features = GUEST_CSUM } = {}) {
  const tables = new exchange.Exchange();
  const batch = new Batch(tables);
  const commands = new CommandWriter(tables);
  const context = { commands, capture: () => {}, copyOut: () => 0 } as unknown as HandlerContext;
  const arena = new Arena(Fabric.arenaBytes(PORTS) + 4096);
  const ports = Array.from({ length: PORTS }, (_, index) => {
    const vlans = { kind: 'any' } as const;
    const counters = new NetCounters(3).buffer;
    const options = { vlans, isolated: false, stormPerSecond: 0, queueSize: 8, counters };
    const port = new SwitchPort(index, options, commands, arena);
    port.negotiated(features);
    port.running = true;
    for (let i = 0; i < 8; i++) {
      port.chains.post((index * 3) << 16, ROOM);
    }
    return port;
  }) as [SwitchPort, SwitchPort, SwitchPort];
  const fabric = new Fabric({ context, arena, ports, ageS, captures });
  const link = new LinkHeader();
  const send = (from: SwitchPort, bytes: Uint8Array, header: Uint32Array = new Uint32Array(3)) => {
    fabric.begin();
    const at = exchange.REQUEST_HEADER * 4;
    tables.requests.set(header, exchange.REQUEST_HEADER);
    tables.bytes.set(bytes.subarray(0, 18), at + 12);
    link.read(batch, 0);
    const sent = { batch, index: 0, chain: 1, bytes: bytes.byteLength, link, header };
    fabric.forward(from, sent);
    commands.take();
  };
  /** The flows of a port, as the words native code reads, and when each ends. */
  const flowsOf = (port: SwitchPort) =>
    Array.from({ length: exchange.FLOWS_PER_QUEUE }, (_, i) => {
      const offset = fabric.flowsOf(port) + i * exchange.FLOW_WORDS * 4;
      const words = arena.words(offset, exchange.FLOW_WORDS);
      const doubles = new Float64Array(words.buffer, words.byteOffset, exchange.FLOW_WORDS / 2);
      return { words, untilMs: doubles[exchange.FLOW_UNTIL_MS / 2] as number };
    }).filter(({ untilMs }) => untilMs > 0);
  return { fabric, ports, send, flowsOf };
}

const to = (port: number, from: number, bytes = 100) => frame(bytes, 1, mac(port), mac(from));

t.test('frames to a station that is known, and to nobody else', (t) => {
  const { ports, send, flowsOf } = rig();
  const [first, second] = ports;
  send(first, to(1, 0));
  t.equal(flowsOf(first).length, 0, 'flooded');
  send(second, to(0, 1));
  t.equal(flowsOf(second).length, 1, 'known');
  send(first, to(1, 0));
  const [flow] = flowsOf(first);
  t.equal(flow?.words[exchange.FLOW_TARGET], 3, 'the receive queue of the other');
  t.equal(flow?.words[exchange.FLOW_PREFIX_BYTES], 26);
  t.equal(flow?.words[exchange.FLOW_SKIPPED_BYTES], 26);
  t.equal(flow?.words[exchange.FLOW_READABLE_MIN], 26);
  send(first, frame(100, 1, BROADCAST, mac(0)));
  send(first, to(0, 0));
  send(first, frame(100, 1, mac(1), '01:00:5e:00:00:01'));
  t.equal(flowsOf(first).length, 1, 'to a group, to itself, from a group: none');
  t.end();
});

t.test('only what native code can do as well', (t) => {
  const rows: readonly (readonly [
    what: string,
    options: Parameters<typeof rig>[0],
    header: Uint32Array | undefined,
    bytes: number,
    readableMin: number | undefined,
  ])[] = [
    ['a plain frame', {}, undefined, 100, 26],
    ['several chains', { features: 1n << 15n }, undefined, ROOM, undefined],
    ['no room', {}, undefined, ROOM, undefined],
    ['a sum the receiver does', {}, NEEDS_CSUM, 100, 112],
    ['a sum the switch does', { features: 0n }, NEEDS_CSUM, 100, undefined],
    ['somebody looks on', { captures: true }, undefined, 100, undefined],
  ];
  for (const [what, options, header, bytes, readableMin] of rows) {
    const { ports, send, flowsOf } = rig(options);
    const [first, second] = ports;
    send(second, to(2, 1));
    send(first, to(1, 0, bytes), header);
    t.same(
      flowsOf(first).map(({ words }) => words[exchange.FLOW_READABLE_MIN]),
      readableMin === undefined ? [] : [readableMin],
      what,
    );
  }
  t.end();
});

t.test('taken back with what they were decided by', (t) => {
  const rows: readonly (readonly [what: string, change: (of: ReturnType<typeof rig>) => void])[] = [
    ['the receiver moves', ({ ports, send }) => send(ports[2], to(0, 1))],
    ['the sender moves', ({ ports, send }) => send(ports[2], to(1, 0))],
    ['a guest comes', ({ ports, fabric }) => fabric.forget(ports[1])],
    ['a port takes other frames', ({ fabric }) => fabric.changed()],
  ];
  for (const [what, change] of rows) {
    const made = rig();
    const { ports, send, flowsOf } = made;
    send(ports[1], to(0, 1));
    send(ports[0], to(1, 0));
    t.equal(flowsOf(ports[0]).length, 1);
    change(made);
    t.equal(flowsOf(ports[0]).length, 0, what);
  }
  const { ports, send, flowsOf } = rig();
  send(ports[1], to(0, 1));
  send(ports[0], to(1, 0));
  send(ports[2], frame(100, 1, BROADCAST, mac(2)));
  t.equal(flowsOf(ports[0]).length, 1, 'another station changes nothing');
  t.end();
});

t.test('for a tenth of a second, or as long as the station is known', (t) => {
  const realMs = () => Number(process.hrtime.bigint()) / 1e6;
  let nowMs = 0;
  t.intercept(performance, 'now', { value: () => nowMs });
  const rows = [
    [300, 1010 + 1000 * LEASE_S],
    [LEASE_S / 4, 1000 + 1000 * (LEASE_S / 4)],
  ] as const;
  for (const [ageS, endMs] of rows) {
    nowMs = 1000;
    const beforeMs = realMs();
    const { ports, send, flowsOf } = rig({ ageS });
    const offsetMs = realMs() - nowMs;
    send(ports[1], to(0, 1));
    nowMs = 1010;
    send(ports[0], to(1, 0));
    const untilMs = flowsOf(ports[0])[0]?.untilMs as number;
    t.ok(untilMs > beforeMs - 1000 + endMs - 0.1, `known for ${ageS} s: not before`);
    t.ok(untilMs < offsetMs + endMs + 0.1, 'nor later');
  }
  t.end();
});
