import t from 'tap';
import { NetDevice } from '../../../src/devices/net/device.js';
import { type NetOptions, netOptionsSchema } from '../../../src/devices/net/options.js';
import { testDevice } from '../../../src/testing/index.js';

const open = (options: Partial<NetOptions> = {}) =>
  new NetDevice(netOptionsSchema.parse({ null: true, ...options }));

t.test('keeps the contract of the trait', async (t) => {
  t.same(await testDevice(open()), []);
  t.same(await testDevice(open({ queuePairs: 3, mtu: 9000 }), async () => {}, { workers: 2 }), []);
});

t.test('features by what was asked for', async (t) => {
  const [MTU, MQ] = [1n << 3n, 1n << 22n];
  t.equal(open().features() & (MTU | MQ), 0n);
  t.equal(open({ mtu: 1500, queuePairs: 2 }).features() & (MTU | MQ), MTU | MQ);
  const [HASH_REPORT, RSS] = [1n << 57n, 1n << 60n];
  t.equal(open().features() & (HASH_REPORT | RSS), HASH_REPORT, 'one pair has nothing to steer');
  t.equal(open({ queuePairs: 2 }).features() & RSS, RSS);
  t.equal(open({ queuePairs: 2, workers: 2 }).features() & RSS, 0n, 'not across threads');
  const stream = open({ stream: '/s', null: false }).features();
  t.equal(stream & 0x7f83n, 0x3801n, 'what a stream leaves to us: CSUM, TSO, ECN');
});

t.test('config space', async (t) => {
  const device = open({ mac: '52:54:00:00:00:07', queuePairs: 2 });
  t.same([...device.getConfig(0, 10)], [0x52, 0x54, 0, 0, 0, 7, 1, 0, 2, 0]);
  t.same([...device.getConfig(17, 100)], [40, 128, 0, 0xff, 1, 0, 0], 'limits of hashing');
  await device.setMtu(4000);
  t.equal(device.getConfig(10, 2)[0], 4000 & 255, 'NET_SET_MTU (NT-035)');
  t.notSame(open().getConfig(0, 6), open().getConfig(0, 6), 'random addresses differ');
});

t.test('GET_QUEUE_NUM in either unit (trap 21)', async (t) => {
  t.equal(open({ queuePairs: 4 }).queueNumAnswer(), 9);
  t.equal(open({ queuePairs: 4, queueNum: 'pairs' }).queueNumAnswer(), 4);
});

t.test('SEND_RARP of what is no station (NT-035)', async (t) => {
  for (const mac of [new Uint8Array(6), new Uint8Array(6).fill(0xff), Uint8Array.of(1, 0, 94)]) {
    await t.rejects(open().sendRarp(mac), { code: 'PAYLOAD_VALUE' });
  }
});
