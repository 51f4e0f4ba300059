// Rules of ports, and what makes no switch.

import t from 'tap';
import { parsePortRule, switchOptionsSchema } from '../../../../src/devices/net/switch/options.js';

t.test('rules', (t) => {
  const good: readonly (readonly [text: string, port: number, rule: object])[] = [
    ['2:access=10', 2, { isolated: false, vlans: { kind: 'access', vlan: 10 } }],
    ['1:isolated', 1, { isolated: true, vlans: { kind: 'any' } }],
    ['3:trunk=1+4094', 3, { isolated: false, vlans: { kind: 'trunk', vlans: [1, 4094] } }],
    [
      '3:trunk=10,native=5,isolated',
      3,
      { isolated: true, vlans: { kind: 'trunk', vlans: [10], native: 5 } },
    ],
    [
      '4:mac=52:54:00:00:00:01',
      4,
      { isolated: false, vlans: { kind: 'any' }, mac: '52:54:00:00:00:01' },
    ],
  ];
  for (const [text, port, rule] of good) {
    t.same(parsePortRule(text), { port, rule }, text);
  }
  const bad = ['', '1', '0:access=1', 'x:access=1', '1:', '1:access', '1:access=', '1:access=0'];
  const worse = ['1:access=4095', '1:access=1+2', '1:access=1,trunk=2', '1:native=3', '1:vlan=3'];
  for (const text of [
    ...bad,
    ...worse,
    '1:trunk=1,native=2+3',
    '1:mac=ff:ff:ff:ff:ff:ff',
    '1:trunk=a',
    '1000:access=1',
  ]) {
    t.type(parsePortRule(text), 'string', text);
  }
  t.end();
});

t.test('options', (t) => {
  const ports = [{ label: 'a' }, { label: 'b' }];
  const parsed = switchOptionsSchema.parse({ name: 'lan', ports });
  t.same([parsed.ageS, parsed.stormPerSecond, parsed.offload], [300, 10_000, true]);
  const rows: readonly object[] = [
    { name: 'a b', ports },
    { name: 'lan', ports: [{ label: 'a' }] },
    { name: 'lan', ports: Array.from({ length: 86 }, () => ({ label: 'a' })) },
    { name: 'lan', ports, ageS: 0 },
    { name: 'lan', ports, stormPerSecond: -1 },
    { name: 'lan', ports, queueSize: 100 },
    { name: 'lan', ports, tap: 'x' },
  ];
  for (const row of rows) {
    t.notOk(switchOptionsSchema.safeParse(row).success, JSON.stringify(row).slice(0, 60));
  }
  t.end();
});
