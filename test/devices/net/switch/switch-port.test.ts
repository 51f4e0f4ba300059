// What a guest's driver takes.

import t from 'tap';
import { CommandWriter } from '../../../../src/core/virtqueue/command-writer.js';
import { Arena } from '../../../../src/devices/net/arena.js';
import { NetCounters } from '../../../../src/devices/net/counters.js';
import { SwitchPort } from '../../../../src/devices/net/switch/switch-port.js';
import { exchange } from '../../../../src/native/index.js';

const CSUM = 1n << 1n;
const TSO4 = 1n << 7n;
const TSO6 = 1n << 8n;
const USO = 3n << 54n;
const ECN = 1n << 9n;

t.test('offloads of frames to it', (t) => {
  const port = new SwitchPort(
    0,
    {
      vlans: { kind: 'any' },
      isolated: false,
      stormPerSecond: 0,
      queueSize: 8,
      counters: new NetCounters(3).buffer,
    },
    new CommandWriter(new exchange.Exchange()),
    new Arena(1024),
  );
  const rows: readonly (readonly [
    what: string,
    features: bigint,
    gso: number,
    takes: boolean,
    sums: boolean,
  ])[] = [
    ['plain', 0n, 0, true, true],
    ['checksums', CSUM, 0, true, false],
    ['TCPv4 without', CSUM, 1, false, false],
    ['TCPv4', CSUM | TSO4, 1, true, false],
    ['TCPv4 without checksums', TSO4, 1, false, true],
    ['TCPv6 to one of TCPv4', CSUM | TSO4, 4, false, false],
    ['TCPv6', CSUM | TSO6, 4, true, false],
    ['ECN without', CSUM | TSO4, 0x81, false, false],
    ['ECN', CSUM | TSO4 | ECN, 0x81, true, false],
    ['UDP', CSUM | TSO4 | TSO6, 3, false, false],
    ['UDP segments', CSUM | USO, 5, true, false],
    ['UDP segments of IPv4 alone', CSUM | (1n << 54n), 5, false, false],
  ];
  for (const [what, features, gso, takes, sums] of rows) {
    port.negotiated(features);
    const header = Uint32Array.of(1 | (gso << 8), 0, 0);
    t.same([port.takes(header), port.needsChecksum(header)], [takes, sums], what);
  }
  t.equal(port.needsChecksum(Uint32Array.of(0, 0, 0)), false);
  t.end();
});
