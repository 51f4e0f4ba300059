import { existsSync } from 'node:fs';
import t from 'tap';
import { openHostEnd } from '../../../src/devices/net/open-host-end.js';
import { netOptionsSchema } from '../../../src/devices/net/options.js';
import { openDescriptors } from '../../support/resources.js';
import { ip, makeTap, tapName, whyNoTap } from '../../support/taps.js';

const noTap = whyNoTap() ?? false;

t.test('taps that can not be had', { skip: noTap }, async (t) => {
  const single = makeTap(t);
  const before = openDescriptors();
  const rows = [
    [{ tap: 'lo' }, /is no tap.*EINVAL/],
    [{ tap: single, queuePairs: 2 }, /another number of queues/],
    [{ tapFds: [0] }, /descriptor 0: /],
    [{ tapFds: [9999] }, /is not open/],
  ] as const;
  for (const [options, message] of rows) {
    const parsed = netOptionsSchema.parse(options);
    t.throws(() => openHostEnd(parsed), { name: 'HostEndError', message }, String(message));
  }
  t.equal(openDescriptors(), before, 'nothing is left open');
});

t.test('a tap that is taken', { skip: noTap }, async (t) => {
  const options = netOptionsSchema.parse({ tap: makeTap(t) });
  const first = openHostEnd(options);
  t.throws(() => openHostEnd(options), { message: /somebody else has it/ });
  first.close();
  openHostEnd(options).close();
});

t.test('a tap that stays, and one that goes', { skip: noTap }, async (t) => {
  for (const tapPersist of [false, true]) {
    const tap = tapName();
    openHostEnd(netOptionsSchema.parse({ tap, tapPersist })).close();
    t.equal(existsSync(`/sys/class/net/${tap}`), tapPersist);
    if (tapPersist) {
      ip('link', 'del', tap);
    }
  }
});

t.test(
  'a tap takes offloads as they are, a stream those we do ourselves',
  { skip: noTap },
  async (t) => {
    const tap = openHostEnd(netOptionsSchema.parse({ tap: makeTap(t) }));
    t.equal(tap.features & 0x7f83n, 0x7f83n);
    tap.close();
    const stream = openHostEnd(netOptionsSchema.parse({ stream: '/nowhere' }));
    // CSUM, HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_USO
    const segmented = (1n << 0n) | (1n << 11n) | (1n << 12n) | (1n << 13n) | (1n << 56n);
    t.equal(stream.features, segmented);
  },
);
