// What each command of the control queue does, and what none of them takes.

import t from 'tap';
import { runControlCommand } from '../../../src/devices/net/control-commands.js';
import { ControlState } from '../../../src/devices/net/control-state.js';
import { macBytes } from '../../support/frames.js';

const MAC = '52:54:00:00:00:01';
const EVERYTHING = ~(-1n << 64n);
const PAIRS = 4;

/** The bits of VIRTIO 1.3 §5.1.3, spelled out: GUEST_CSUM, GUEST_TSO4, … */
const [GUEST_CSUM, GUEST_TSO4, HOST_TSO4] = [1n << 1n, 1n << 7n, 1n << 11n];
const ANNOUNCE = 2;

const card = (features = EVERYTHING) => ({
  state: ControlState.create(macBytes(MAC), 0),
  features,
  pairs: PAIRS,
});

const le16 = (value: number) => [value & 255, value >>> 8];
const le32 = (value: number) => [...le16(value & 0xffff), ...le16(value >>> 16)];
const le64 = (value: bigint) => [
  ...le32(Number(value & 0xffffffffn)),
  ...le32(Number(value >> 32n)),
];
const macs = (count: number) => Array.from({ length: 6 * count }, (_, i) => i & 0xfe);

/** VIRTIO_NET_CTRL_MQ_RSS_CONFIG: types, table, queue of the unclassified, transmit queues, key. */
const rss = (
  queues: readonly number[],
  other = 0,
  transmits = 1,
  key: readonly number[] = [1, 2],
) => [
  ...[4, 1, ...le32(0x1ff), ...le16((queues.length - 1) & 0xffff), ...le16(other)],
  ...[...queues.flatMap(le16), ...le16(transmits), key.length, ...key],
];
/** VIRTIO_NET_CTRL_MQ_HASH_CONFIG. */
const hashing = (types: number, key: readonly number[]) => [
  ...[4, 2, ...le32(types), 0, 0, 0, 0, 0, 0, 0, 0, key.length, ...key],
];
const KEY = Array.from({ length: 40 }, (_, i) => i + 1);

const run = (bytes: readonly number[], to = card()) =>
  runControlCommand(Uint8Array.from(bytes), to);

t.test('what makes no sense is refused, and changes nothing (NT-020, NT-021)', async (t) => {
  const rows: readonly (readonly [what: string, bytes: number[]])[] = [
    ['unknown class', [7, 0, 0, 0, 0, 0]],
    ['class 255', [255, 255]],
    ['unknown command of a known class', [0, 6, 1]],
    ['a mode that is neither on nor off', [0, 0, 2]],
    ['a mode without its byte', [0, 0]],
    ['a mode with two', [0, 1, 1, 1]],
    ['no tables', [1, 0]],
    ['half a count', [1, 0, 0, 0]],
    ['one table', [1, 0, ...le32(1), ...macs(1)]],
    ['2^32 - 1 entries', [1, 0, ...le32(0xffffffff), ...macs(3), ...le32(0)]],
    ['a second table that lies', [1, 0, ...le32(1), ...macs(1), ...le32(2), ...macs(1)]],
    ['tables of an odd length', [1, 0, ...le32(1), ...macs(1), ...le32(0), 0]],
    ["a group's address", [1, 1, 1, 0, 0x5e, 0, 0, 1]],
    ['address zero', [1, 1, 0, 0, 0, 0, 0, 0]],
    ['five bytes of an address', [1, 1, 2, 0, 0, 0, 0]],
    ['VLAN 4096', [2, 0, ...le16(4096)]],
    ['VLAN 65535 away', [2, 1, ...le16(65_535)]],
    ['an announcement nobody asked for', [3, 0]],
    ['no pairs', [4, 0, ...le16(0)]],
    ['a pair too many', [4, 0, ...le16(PAIRS + 1)]],
    ['32768 pairs', [4, 0, ...le16(0x8000)]],
    ['steering without a table', [4, 1, ...le32(0), ...le16(0)]],
    ['three entries', rss([0, 1, 2])],
    ['256 entries', rss(new Array(256).fill(0))],
    ['65536 entries that are not there', rss([])],
    ['a pair beyond the last', rss([0, PAIRS])],
    ['a pair with its reserved bit', rss([0, 0x8001])],
    ['unclassified frames beyond the last', rss([0, 1], PAIRS)],
    ['no transmit queue', rss([0, 1], 0, 0)],
    ['a transmit queue too many', rss([0, 1], 0, PAIRS + 1)],
    ['a key of 41 bytes', rss([0, 1], 0, 1, [...KEY, 41])],
    ['a key cut short', rss([0, 1]).slice(0, -1)],
    ['a byte behind the key', [...rss([0, 1]), 0]],
    ['a type of hash nobody knows', rss([0]).with(4, 0xff)],
    ['hashing without a key', hashing(1, []).slice(0, -1)],
    ['hashing by an unknown type', hashing(0x200, KEY)],
    ['hashing with a key of 41 bytes', hashing(1, [...KEY, 41])],
    ['an offload of the other direction', [5, 0, ...le64(HOST_TSO4)]],
    ['seven bytes of offloads', [5, 0, ...le64(0n).slice(1)]],
    ['half the coalescing', [6, 0, ...le32(1)]],
    ['coalescing of one queue, not offered', [6, 2, ...le32(0), ...le32(1), ...le32(1)]],
  ];
  for (const [what, bytes] of rows) {
    const to = card();
    const before = Buffer.from(to.state.buffer).toString('hex');
    t.notOk(run(bytes, to), what);
    t.equal(Buffer.from(to.state.buffer).toString('hex'), before, `${what}: as before`);
  }
});

t.test('a command needs its feature', async (t) => {
  const rows: readonly (readonly [bytes: number[], bit: number])[] = [
    [[0, 0, 1], 18],
    [[0, 1, 1], 18],
    [[0, 2, 1], 20],
    [[0, 5, 1], 20],
    [[1, 0, ...le32(0), ...le32(0)], 18],
    [[1, 1, 2, 0, 0, 0, 0, 1], 23],
    [[2, 0, ...le16(1)], 19],
    [[2, 1, ...le16(1)], 19],
    [[4, 0, ...le16(1)], 22],
    [rss([0, 1]), 60],
    [hashing(1, KEY), 57],
    [[5, 0, ...le64(0n)], 2],
    [[6, 0, ...le32(1), ...le32(1)], 53],
    [[6, 1, ...le32(1), ...le32(1)], 53],
  ];
  for (const [bytes, bit] of rows) {
    t.ok(run(bytes), `${bytes}`);
    t.notOk(run(bytes, card(EVERYTHING & ~(1n << BigInt(bit)))), `${bytes} without bit ${bit}`);
  }
});

t.test('what was asked for is in the state', async (t) => {
  const to = card();
  const { state } = to;
  t.ok(run([1, 1, ...macBytes('52:54:00:00:00:99')], to));
  t.same(state.mac, macBytes('52:54:00:00:00:99'));
  t.ok(run([4, 0, ...le16(PAIRS)], to));
  t.equal(state.pairs, PAIRS);
  t.ok(run([5, 0, ...le64(GUEST_CSUM)], to));
  t.equal(state.offloads, GUEST_CSUM);
  t.ok(run([6, 0, ...le32(9), ...le32(50)], to));
  t.ok(run([6, 1, ...le32(0xffffffff), ...le32(1)], to));
  t.same(state.coalescing('transmit'), { maxPackets: 9, maxUsecs: 50 });
  t.same(state.coalescing('receive'), { maxPackets: 0xffffffff, maxUsecs: 1 });
  state.setStatus(ANNOUNCE, true);
  t.ok(run([3, 0], to));
  t.equal(state.status & ANNOUNCE, 0);
  t.notOk(run([3, 0], to), 'once');
  const limited = card(GUEST_CSUM | (1n << 2n));
  t.notOk(run([5, 0, ...le64(GUEST_CSUM | GUEST_TSO4)], limited), 'an offload not negotiated');
});

t.test('where frames go, and by what', async (t) => {
  const to = card();
  const { state } = to;
  t.ok(run(hashing(0x3f, KEY), to));
  t.same(state.hashRule, { types: 0x3f, key: Uint8Array.from(KEY) });
  t.equal(state.steering, undefined);
  t.ok(run(rss([3, 1, 1, 0], 2, 2), to));
  const short = new Uint8Array(40);
  short.set([1, 2]);
  t.same(state.hashRule, { types: 0x1ff, key: short }, 'a short key goes on with zeroes');
  t.same(state.steering, { queues: Uint16Array.of(3, 1, 1, 0), unclassified: 2 });
  t.equal(state.pairs, 4, 'those it receives on');
  t.ok(run(rss([0], 0, 3), to));
  t.equal(state.pairs, 3, 'and those it sends on');
  t.ok(run(rss(new Array(128).fill(1)), to));
  t.equal(state.steering?.queues.length, 128);
  t.ok(run([4, 0, ...le16(2)], to));
  t.equal(state.steering, undefined, 'taken back');
});
