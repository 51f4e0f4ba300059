// What a guest at the switch is offered.

import t from 'tap';
import { SwitchCard } from '../../../../src/devices/net/switch/card.js';
import type { SwitchCardOptions } from '../../../../src/devices/net/switch/options.js';

const OPTIONS: SwitchCardOptions = {
  offload: true,
  mtu: undefined,
  queueSize: 256,
  queueNum: 'queues',
  mac: undefined,
};

const card = (options: Partial<SwitchCardOptions> = {}) =>
  new SwitchCard('a', { ...OPTIONS, ...options }, () => ({ moduleUrl: 'x', options: undefined }));

t.test('features', (t) => {
  const has = (features: bigint, bit: bigint) => (features & (1n << bit)) !== 0n;
  for (const bit of [0n, 1n, 7n, 8n, 11n, 12n]) {
    t.ok(has(card().features(), bit), `bit ${bit}`);
    t.notOk(has(card({ offload: false }).features(), bit), `bit ${bit} without offloads`);
  }
  for (const bit of [5n, 15n, 16n, 28n, 29n, 32n]) {
    t.ok(has(card({ offload: false }).features(), bit), `bit ${bit}`);
  }
  t.same([has(card().features(), 3n), has(card({ mtu: 9000 }).features(), 3n)], [false, true]);
  t.notOk(has(card().features(), 17n), 'no control queue');
  t.end();
});

t.test('SEND_RARP of what is no station (NT-035)', async (t) => {
  for (const mac of [new Uint8Array(6), new Uint8Array(6).fill(0xff), Uint8Array.of(1, 0, 94)]) {
    await t.rejects(card().sendRarp(mac), { code: 'PAYLOAD_VALUE' });
  }
});

t.test('config space, sizes, MTU', async (t) => {
  const made = card({ mtu: 9000 });
  t.same([made.numQueues(), made.queueNumAnswer(), made.maxQueueSize()], [3, 3, 256]);
  t.equal(card({ queueNum: 'pairs' }).queueNumAnswer(), 1);
  t.same([...made.getConfig(0, 3)], [0x52, 0x54, 0]);
  t.same([...made.getConfig(6, 6)], [1, 0, 1, 0, 0x28, 0x23]);
  await made.setMtu(1400);
  t.same([...made.getConfig(10, 2)], [0x78, 0x05]);
  const mac = '52:54:00:00:00:07';
  t.same([...card({ mac }).getConfig(0, 6)], [0x52, 0x54, 0, 0, 0, 7]);
  t.notSame(card().getConfig(0, 6), card().getConfig(0, 6), 'addresses of their own');
});
