import t from 'tap';
import {
  isStation,
  netOptionsSchema,
  parseMac,
  workersOf,
} from '../../../src/devices/net/options.js';

t.test('addresses', async (t) => {
  t.same(parseMac('52:54:00:aB:00:01'), Uint8Array.from([0x52, 0x54, 0, 0xab, 0, 1]));
  for (const text of [
    '',
    '52:54:00:12:34',
    '52-54-00-12-34-56',
    '01:00:5e:00:00:01',
    '00:00:00:00:00:00',
    'ff:ff:ff:ff:ff:ff',
  ]) {
    t.equal(parseMac(text), undefined, text);
  }
  t.equal(isStation(Uint8Array.from([2, 0, 0])), false);
});

t.test('what is refused, by the name of the option', async (t) => {
  const rows: readonly (readonly [object, string])[] = [
    [{}, 'tap'],
    [{ tap: 'a', null: true }, 'tap'],
    [{ tap: 'sixteen-letters-' }, 'tap'],
    [{ tap: 'a/b' }, 'tap'],
    [{ tapFds: [3], queuePairs: 2 }, 'tapFds'],
    [{ null: true, queuePairs: 128 }, 'queuePairs'],
    [{ null: true, queueSize: 100 }, 'queueSize'],
    [{ null: true, mtu: 67 }, 'mtu'],
    [{ null: true, mtu: 65536 }, 'mtu'],
    [{ null: true, mac: '01:00:00:00:00:00' }, 'mac'],
    [{ dgram: ['/only-one'] }, 'dgram'],
  ];
  for (const [options, name] of rows) {
    const { error } = netOptionsSchema.safeParse(options);
    t.ok(
      error?.issues.some(({ path }) => path[0] === name),
      JSON.stringify(options),
    );
  }
});

t.test('threads there is work for', async (t) => {
  const rows: readonly (readonly [options: object, workers: number])[] = [
    [{ null: true, workers: 4 }, 1],
    [{ null: true, workers: 4, queuePairs: 3 }, 3],
    [{ tap: 't', workers: 2, queuePairs: 3 }, 2],
    [{ tapFds: [3, 4], workers: 9, queuePairs: 2 }, 2],
    [{ stream: '/s', workers: 4, queuePairs: 4 }, 1],
    [{ dgram: ['/a', '/b'], workers: 4, queuePairs: 4 }, 1],
  ];
  for (const [options, workers] of rows) {
    t.equal(workersOf(netOptionsSchema.parse(options)), workers, JSON.stringify(options));
  }
});
