import t from 'tap';
import { NetDevice } from '../../../src/devices/net/device.js';
import { type NetOptions, netOptionsSchema } from '../../../src/devices/net/options.js';
import { STATE_BYTES } from '../../../src/devices/net/state.js';
import { native } from '../../../src/native/index.js';
import { testDevice } from '../../../src/testing/index.js';
import { socketPair } from '../../support/resources.js';

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

t.test('device state goes from card to card', async (t) => {
  const [source, target] = [open(), open({ queuePairs: 2 })];
  const [from, to] = socketPair();
  await source.setDeviceState('save', from);
  native.fdClose(from);
  await target.setDeviceState('load', to);
  native.fdClose(to);
  t.same(target.getConfig(0, 6), source.getConfig(0, 6), 'the address is the one the driver has');
  await target.resetDevice();
  t.notSame(target.getConfig(0, 6), source.getConfig(0, 6), 'a new driver gets its own');
  const [bad, end] = socketPair();
  native.hostSend(bad, new Uint8Array(STATE_BYTES), 0, STATE_BYTES);
  native.fdClose(bad);
  await t.rejects(target.setDeviceState('load', end), /not the state/);
  native.fdClose(end);
});
