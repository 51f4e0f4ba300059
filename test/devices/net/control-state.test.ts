import t from 'tap';
import { ControlState } from '../../../src/devices/net/control-state.js';
import { native } from '../../../src/native/index.js';
import { frame, macBytes } from '../../support/frames.js';

const OWN = '52:54:00:00:00:01';
const PEER = '52:54:00:00:00:02';
const GROUP = '01:00:5e:00:00:01';

/** Native code has a copy of a worker's own. */
const framePasses = ({ filter }: ControlState, sent: Uint8Array) =>
  native.framePasses(Uint32Array.from(filter), sent, 0, sent.byteLength);
const passes = (state: ControlState, to: string) => framePasses(state, frame(60, 0, to));

t.test('what another worker sees', async (t) => {
  const state = ControlState.create(macBytes(OWN), 9000);
  const mine = ControlState.snapshot();
  const before = state.version;
  state.change(() => {
    state.pairs = 3;
    t.notOk(state.copyTo(mine), 'not half of a change');
  });
  t.not(state.version, before);
  t.ok(new ControlState(state.buffer).copyTo(mine));
  t.same([mine.pairs, mine.mtu, mine.mac], [3, 9000, macBytes(OWN)]);
  state.mtu = 1500;
  t.ok(state.copyTo(mine));
  t.equal(mine.mtu, 1500);
});

const [CTRL_RX, CTRL_VLAN] = [1n << 18n, 1n << 19n];

t.test('nothing is kept from a driver nobody knows, VLANs from a new one', async (t) => {
  const state = ControlState.create(macBytes(OWN), 0);
  const tagged = frame(60, 0, OWN);
  tagged.set([0x81, 0, 0, 7], 12);
  const taggedPasses = () => framePasses(state, tagged);
  t.ok(taggedPasses());
  t.equal(state.pairs, undefined);
  state.reset(CTRL_RX | CTRL_VLAN);
  t.ok(taggedPasses(), 'promiscuous until it says otherwise');
  state.reset(CTRL_VLAN);
  t.equal(state.pairs, 1);
  t.same([taggedPasses(), passes(state, PEER), passes(state, GROUP)], [false, true, true]);
  state.change(() => state.setVlan(7, true));
  t.ok(taggedPasses());
  state.change(() => state.setVlan(7, false));
  t.notOk(taggedPasses());
  state.reset(0n);
  t.ok(taggedPasses(), 'it has no such filter');
  state.change(() => {
    state.mac = macBytes(PEER);
    state.pairs = 2;
    state.offloads = 0n;
  });
  state.forget();
  t.same(state.mac, macBytes(OWN), "the card's own address again");
  t.equal(state.offloads & (1n << 55n), 1n << 55n);
});

t.test('addresses beside its own', async (t) => {
  const state = ControlState.create(macBytes(OWN), 0);
  const modes = (flags: number) => {
    state.change(() => {
      state.receiveMode = flags;
    });
  };
  modes(0);
  t.same(
    [OWN, PEER, GROUP].map((to) => passes(state, to)),
    [true, false, false],
  );
  state.change(() => state.setAddresses([macBytes(PEER)], [macBytes(GROUP)]));
  t.same(
    [OWN, PEER, GROUP].map((to) => passes(state, to)),
    [true, true, true],
  );
  const many = Array.from({ length: 65 }, (_, i) => macBytes(`52:54:00:00:01:${i + 10}`));
  state.change(() => state.setAddresses(many, []));
  t.same(
    [OWN, PEER, GROUP].map((to) => passes(state, to)),
    [true, true, false],
    'too many: all',
  );
  t.equal(state.receiveMode, 0, 'which the driver did not ask for');
  state.change(() => state.setAddresses([], many));
  t.same(
    [OWN, PEER, GROUP].map((to) => passes(state, to)),
    [true, false, true],
  );
  state.change(() => state.setAddresses([], []));
  t.same(
    [OWN, PEER, GROUP].map((to) => passes(state, to)),
    [true, false, false],
  );
});
