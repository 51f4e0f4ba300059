// Addresses behind ports: learned, moved, aged, bounded.

import t from 'tap';
import { ADDRESSES_PER_PORT_MAX, MacTable } from '../../../../src/devices/net/switch/mac-table.js';

const AGE_S = 300;

t.test('learned, moved, forgotten', (t) => {
  const table = new MacTable(3, AGE_S);
  t.equal(table.lookup(1, 2, 0, 0), -1);
  table.learn(1, 2, 0, 2, 0);
  t.equal(table.lookup(1, 2, 0, 0), 2);
  t.equal(table.lookup(1, 2, 7, 0), -1, 'each VLAN has its own');
  t.equal(table.lookup(2, 1, 0, 0), -1);
  table.learn(1, 2, 7, 1, 0);
  table.learn(1, 2, 0, 0, 1);
  t.same([table.lookup(1, 2, 0, 1), table.lookup(1, 2, 7, 1)], [0, 1], 'the station has moved');
  t.equal(table.moves, 1);
  table.learn(1, 2, 0, 0, 5);
  t.same([table.moves, table.heardS(1, 2, 0), table.heardS(1, 2, 7)], [1, 5, 0], 'heard of');
  t.same([table.count(0), table.count(1), table.count(2)], [1, 1, 0]);
  table.forget(0);
  t.same([table.lookup(1, 2, 0, 1), table.lookup(1, 2, 7, 1)], [-1, 1]);
  t.end();
});

t.test('ages', (t) => {
  const table = new MacTable(2, AGE_S);
  table.learn(1, 2, 0, 1, 10);
  t.equal(table.lookup(1, 2, 0, 10 + AGE_S), 1);
  t.equal(table.lookup(1, 2, 0, 11 + AGE_S), -1);
  table.learn(1, 2, 0, 1, 12 + AGE_S);
  t.equal(table.lookup(1, 2, 0, 13 + AGE_S), 1, 'heard of again');
  t.equal(table.count(1), 1);
  t.end();
});

t.test('a port that makes addresses up fills its own share (MAC flooding)', (t) => {
  const table = new MacTable(2, AGE_S);
  for (let i = 0; i < 100; i++) {
    table.learn(i, 9, 0, 1, 0);
  }
  let learned = 0;
  for (let i = 0; i < 5 * ADDRESSES_PER_PORT_MAX; i++) {
    learned += table.learn(i * 0x10001, i & 0xff, 0, 0, 0) ? 1 : 0;
  }
  t.equal(learned, ADDRESSES_PER_PORT_MAX);
  t.equal(table.count(0), ADDRESSES_PER_PORT_MAX);
  for (let i = 0; i < 100; i++) {
    t.equal(table.lookup(i, 9, 0, 0), 1);
  }
  t.equal(table.learn(0x10001, 1, 0, 0, 200), true, 'those it has may stay');
  t.equal(table.learn(77, 77, 0, 0, AGE_S + 1), true, 'aged ones give way');
  t.equal(table.count(0), 2);
  t.end();
});

t.test('a thousand of each of many ports, all found', (t) => {
  const table = new MacTable(8, AGE_S);
  for (let i = 0; i < 8 * ADDRESSES_PER_PORT_MAX; i++) {
    if (!table.learn((i * 2654435761) >>> 0, i & 0xffff, i % 5, i % 8, 0)) {
      t.fail(`address ${i} not learned`);
    }
  }
  for (let i = 0; i < 8 * ADDRESSES_PER_PORT_MAX; i++) {
    if (table.lookup((i * 2654435761) >>> 0, i & 0xffff, i % 5, 0) !== i % 8) {
      t.fail(`address ${i}`);
    }
  }
  t.end();
});
