import t from 'tap';
import { EndShare } from '../../../src/devices/vsock/end-share.js';
import type { Answer, HostTarget } from '../../../src/devices/vsock/host-end.js';
import { native } from '../../../src/native/index.js';
import { PolledConnections, STREAM_REQUEST } from '../../support/polled-connections.js';
import { socketPair } from '../../support/resources.js';

function made(max: number) {
  const connections = new PolledConnections();
  return { connections, share: new EndShare(connections, max) };
}

/** A target that leaves the answers to the test. */
class SlowTarget implements HostTarget {
  readonly answers: Answer[] = [];
  cancelled = 0;
  connect(_: unknown, answer: Answer): () => void {
    this.answers.push(answer);
    return () => {
      this.cancelled++;
    };
  }
  close(): void {}
}

t.test('VS-011 from the host: one more than may be is closed', async (t) => {
  const { connections, share } = made(1);
  const [ours, peer] = socketPair();
  share.open({ fd: ours }, 1, 80, () => {});
  const [more, other] = socketPair();
  let aborted: boolean | undefined;
  share.open({ fd: more, ended: (how) => (aborted = how) }, 1, 80, () => {});
  t.equal(connections.opened.length, 1);
  t.equal(aborted, true);
  t.equal(native.hostReceive(other, new Uint8Array(1), 0, 1, false), 0);
  connections.opened[0]?.link.ended?.(false);
  t.equal(share.count, 0);
  for (const fd of [ours, peer, other]) {
    native.fdClose(fd);
  }
});

t.test('VS-011 from the guest: requests count too, until they are over', async (t) => {
  const { share } = made(2);
  const target = new SlowTarget();
  const answers: unknown[] = [];
  const ask = () => share.connect(target, STREAM_REQUEST, (link) => answers.push(link));
  const cancel = ask();
  ask();
  t.equal(share.count, 2);
  t.equal(ask(), undefined);
  t.same(answers, [undefined], 'refused at once');
  t.equal(target.answers.length, 2, 'the target was not asked');
  cancel?.();
  t.same([share.count, target.cancelled], [1, 1]);
  target.answers[1]?.(undefined);
  t.equal(share.count, 0);
  ask();
  target.answers[2]?.({ fd: 0 });
  t.equal(share.count, 1, 'the connection keeps the place');
  (answers.at(-1) as { ended: (aborted: boolean) => void }).ended(false);
  t.equal(share.count, 0);
});
