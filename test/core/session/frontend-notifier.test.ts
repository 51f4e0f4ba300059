import t, { type Test } from 'tap';
import { SILENT_LOG } from '../../../src/core/log.js';
import {
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
} from '../../../src/core/protocol/index.js';
import { FrontendNotifier } from '../../../src/core/session/frontend-notifier.js';
import type { Vring } from '../../../src/core/session/vring.js';
import { Peer } from '../../support/peer.js';
import { socketPair } from '../../support/resources.js';
import { until } from '../../support/until.js';

const CONFIG_CHANGE = 2;
const VRING_CALL = 4;
const VRING_ERR = 5;
const WITH_CONFIG = VHOST_USER_PROTOCOL_F_BACKEND_REQ | VHOST_USER_PROTOCOL_F_CONFIG;
const WITH_INBAND = VHOST_USER_PROTOCOL_F_BACKEND_REQ | VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS;

/** As much of a vring as decides what is said of it. */
interface Ring {
  index: number;
  started: boolean;
  callByMessage: boolean;
  errByMessage: boolean;
}

function notifier(t: Test, protocolFeatures: bigint, ring: Partial<Ring> = {}) {
  const faults: string[] = [];
  const whispers: string[] = [];
  const vring: Ring = {
    index: 0,
    started: true,
    callByMessage: false,
    errByMessage: false,
    ...ring,
  };
  const made = new FrontendNotifier({
    offeredFeatures: 0n,
    ackedFeatures: 0n,
    protocolFeatures,
    vrings: [vring as unknown as Vring],
    log: { ...SILENT_LOG, debug: (_, message) => void whispers.push(message) },
    peerFault: (_, message) => void faults.push(message),
  });
  const [ours, theirs] = socketPair();
  const peer = new Peer(theirs);
  t.teardown(() => {
    made.close();
    peer.close();
  });
  return {
    made,
    peer,
    faults,
    whispers,
    vring,
    asVring: vring as unknown as Vring,
    open: () => made.open(ours),
  };
}

/** Number of the next request the front-end sees. */
async function next(peer: Peer): Promise<number | undefined> {
  return (await peer.message())?.[0];
}

t.test('what may not be said is refused, and nothing goes out', async (t) => {
  const { made, peer, open, vring } = notifier(t, WITH_CONFIG);
  await t.rejects(made.requestFrontend('CONFIG_CHANGE_MSG', undefined), {
    code: 'CHANNEL_MISSING',
  });
  open();
  const call = { index: 0, num: 0 };
  await t.rejects(made.requestFrontend('VRING_CALL', call), { code: 'NOT_NEGOTIATED' });
  vring.started = false;
  await t.rejects(made.requestFrontend('CONFIG_CHANGE_MSG', undefined), {
    code: 'SESSION_STATE',
  });
  t.ok(await peer.quiet());
});

t.test(
  'a change of config space while all vrings are stopped is told by the first start',
  async (t) => {
    const { made, peer, open, vring, asVring } = notifier(t, WITH_CONFIG, { started: false });
    open();
    await made.configChanged();
    t.ok(await peer.quiet());
    vring.started = true;
    made.vringStarted(asVring);
    t.equal(await next(peer), CONFIG_CHANGE);
    made.vringStarted(asVring);
    t.ok(await peer.quiet(), 'once');
  },
);

t.test('a front-end that does not listen is told nothing, and that is no error', async (t) => {
  const without = notifier(t, VHOST_USER_PROTOCOL_F_BACKEND_REQ);
  without.open();
  await without.made.configChanged();
  t.ok(await without.peer.quiet());
  await notifier(t, WITH_CONFIG).made.configChanged();
});

/** Protocol features, whether a call descriptor was given to some vring, whether this one's was
 *  said to be missing, whether calls go as messages. */
const CALLS: readonly (readonly [string, bigint, boolean, boolean, boolean])[] = [
  ['not negotiated', WITH_CONFIG, false, true, false],
  ['no descriptor anywhere (User-mode Linux)', WITH_INBAND, false, false, true],
  ['descriptors, and none said to be missing (QEMU)', WITH_INBAND, true, false, false],
  ['descriptors, but not for this one', WITH_INBAND, true, true, true],
];

for (const [title, features, byFd, byMessage, said] of CALLS) {
  t.test(`calls and errors as messages: ${title}`, async (t) => {
    const { made, peer, open, asVring } = notifier(t, features, {
      callByMessage: byMessage,
      errByMessage: byMessage,
    });
    made.signalledByFd = byFd;
    open();
    if (!said) {
      made.call(asVring);
      made.vringBroken(asVring);
      t.ok(await peer.quiet());
      return;
    }
    t.equal(await next(peer), VRING_CALL, 'one that may have been lost with a former channel');
    made.vringBroken(asVring);
    t.equal(await next(peer), VRING_ERR);
  });
}

t.test("a front-end that is gone is nobody's fault", async (t) => {
  const { made, peer, faults, whispers, open, asVring } = notifier(t, WITH_INBAND);
  open();
  t.equal(await next(peer), VRING_CALL);
  // As a virtio_uml that ends: the channel is closed, the rings still run.
  peer.close();
  await until(() => {
    made.call(asVring);
    return whispers.length > 0;
  });
  made.vringBroken(asVring);
  await until(() => whispers.some((text) => text.startsWith('error not delivered')));
  t.match(whispers[0], /^call not delivered/);
  t.same(faults, []);
});

t.test('one that is there and refuses is to blame', async (t) => {
  const { made, faults, asVring } = notifier(t, WITH_INBAND);
  // No channel at all, though it wants its calls there.
  made.vringBroken(asVring);
  await until(() => faults.length > 0);
  t.match(faults, [/^error not delivered/]);
});
