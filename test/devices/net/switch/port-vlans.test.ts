// What a port lets in, and how it lets out.

import t from 'tap';
import {
  EGRESS_NONE,
  EGRESS_TAGGED,
  EGRESS_UNTAGGED,
  type PortVlanOptions,
  PortVlans,
} from '../../../../src/devices/net/switch/port-vlans.js';

const ACCESS: PortVlanOptions = { kind: 'access', vlan: 10 };
const TRUNK: PortVlanOptions = { kind: 'trunk', vlans: [10, 4094] };
const NATIVE: PortVlanOptions = { kind: 'trunk', vlans: [10], native: 5 };

t.test('ingress: tag on the frame (0: none) to VLAN, -1: refused', (t) => {
  const rows: readonly (readonly [PortVlanOptions, tag: number, vlan: number])[] = [
    [{ kind: 'any' }, 0, 0],
    [{ kind: 'any' }, 7, 7],
    [{ kind: 'any' }, 4095, -1],
    [ACCESS, 0, 10],
    [ACCESS, 10, -1],
    [ACCESS, 7, -1],
    [TRUNK, 0, -1],
    [TRUNK, 10, 10],
    [TRUNK, 4094, 4094],
    [TRUNK, 11, -1],
    [NATIVE, 0, 5],
    [NATIVE, 10, 10],
    [NATIVE, 5, -1],
  ];
  for (const [options, tag, vlan] of rows) {
    t.equal(new PortVlans(options).ingress(tag), vlan, `${JSON.stringify(options)} tag ${tag}`);
  }
  t.end();
});

t.test('egress', (t) => {
  const rows: readonly (readonly [PortVlanOptions, vlan: number, egress: number])[] = [
    [{ kind: 'any' }, 0, EGRESS_UNTAGGED],
    [{ kind: 'any' }, 9, EGRESS_TAGGED],
    [ACCESS, 10, EGRESS_UNTAGGED],
    [ACCESS, 11, EGRESS_NONE],
    [ACCESS, 0, EGRESS_NONE],
    [TRUNK, 10, EGRESS_TAGGED],
    [TRUNK, 0, EGRESS_NONE],
    [TRUNK, 5, EGRESS_NONE],
    [NATIVE, 5, EGRESS_UNTAGGED],
    [NATIVE, 10, EGRESS_TAGGED],
  ];
  for (const [options, vlan, egress] of rows) {
    t.equal(new PortVlans(options).egress(vlan), egress, `${JSON.stringify(options)} ${vlan}`);
  }
  t.end();
});
