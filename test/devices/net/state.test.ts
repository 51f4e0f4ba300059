import t from 'tap';
import { ControlState } from '../../../src/devices/net/control-state.js';
import { encodeState, loadState, STATE_BYTES } from '../../../src/devices/net/state.js';
import { macBytes } from '../../support/frames.js';

const [SOURCE, TARGET, SET] = ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03'];
const PAIRS = 4;
const [CTRL_RX, CTRL_VLAN] = [1n << 18n, 1n << 19n];

function driven(): ControlState {
  const state = ControlState.create(macBytes(SOURCE), 9000);
  state.reset(CTRL_RX | CTRL_VLAN);
  state.change(() => {
    state.mac = macBytes(SET);
    state.receiveMode = 2;
    state.setAddresses([macBytes(SET)], [macBytes('01:00:5e:00:00:01')]);
    state.setVlan(7, true);
    state.offloads = 1n << 55n;
    state.pairs = 3;
    state.setCoalescing('receive', { maxPackets: 8, maxUsecs: 50 });
    const steering = { queues: Uint16Array.of(2, 1), unclassified: 1 };
    state.setHash({ types: 5, key: new Uint8Array(40).fill(9) }, steering);
  });
  return state;
}

t.test('everything a driver has said, and nothing of the card', async (t) => {
  const from = driven();
  const to = ControlState.create(macBytes(TARGET), 1500);
  const before = to.version;
  loadState(encodeState(from), to, PAIRS);
  t.not(to.version, before, 'workers hear of it');
  t.same(to.filter, from.filter);
  t.same(to.mac, macBytes(SET));
  t.same([to.receiveMode, to.offloads, to.pairs], [2, 1n << 55n, 3]);
  t.same(to.coalescing('receive'), { maxPackets: 8, maxUsecs: 50 });
  t.same([to.hashRule, to.steering], [from.hashRule, from.steering]);
  t.same([to.mtu, to.status], [1500, 1], 'its own');
  to.forget();
  t.same(to.mac, macBytes(TARGET));
});

t.test('what nobody can have saved', async (t) => {
  const rows: readonly (readonly [what: string, change: (state: ControlState) => void])[] = [
    ['more pairs than there are', (state) => (state.pairs = PAIRS + 1)],
    ["a group's address", (state) => (state.mac = Uint8Array.of(1, 0, 0, 0, 0, 0))],
    ['no address', (state) => (state.filter[1] = 0)],
    ['130 addresses', (state) => (state.filter[1] = 130)],
    [
      'a pair that is not there',
      (state) => state.setHash(state.hashRule, { queues: Uint16Array.of(PAIRS), unclassified: 0 }),
    ],
    [
      'three entries',
      (state) => state.setHash(state.hashRule, { queues: new Uint16Array(3), unclassified: 0 }),
    ],
    [
      'unclassified frames to nowhere',
      (state) => state.setHash(state.hashRule, { queues: new Uint16Array(2), unclassified: 9 }),
    ],
    ['unknown hashes', (state) => state.setHash({ ...state.hashRule, types: 512 }, undefined)],
  ];
  const to = ControlState.create(macBytes(TARGET), 1500);
  const before = Buffer.from(to.buffer).toString('hex');
  for (const [what, change] of rows) {
    const from = driven();
    from.change(() => void change(from));
    t.throws(() => loadState(encodeState(from), to, PAIRS), /no driver/, what);
  }
  const good = encodeState(driven());
  for (const at of [0, 4, 8]) {
    const bad = good.slice();
    bad[at] = 0x55;
    t.throws(() => loadState(bad, to, PAIRS), /not the state/, `byte ${at}`);
  }
  t.throws(() => loadState(good.subarray(1), to, PAIRS), /bytes, expected/);
  t.equal(good.byteLength, STATE_BYTES);
  t.equal(Buffer.from(to.buffer).toString('hex'), before, 'nothing has changed');
});
