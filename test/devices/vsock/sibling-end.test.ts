import t from 'tap';
import type { HostLink } from '../../../src/devices/vsock/host-end.js';
import { SiblingDoors } from '../../../src/devices/vsock/sibling-doors.js';
import {
  SiblingEnd,
  type SiblingOptions,
  SiblingTarget,
} from '../../../src/devices/vsock/sibling-end.js';
import { native } from '../../../src/native/index.js';
import { PolledConnections, STREAM_REQUEST } from '../../support/polled-connections.js';
import { openDescriptors, until } from '../../support/resources.js';

const GROUP = ['g'];

function scene() {
  const doors = new SiblingDoors([
    { guestCid: 3, groups: GROUP },
    { guestCid: 4, groups: GROUP },
  ]);
  const connections = new PolledConnections();
  const [sibling = { door: -1 }] = (doors.of(3) as SiblingOptions).others;
  const target = new SiblingTarget(3, sibling.door, connections);
  const inside = (doors.of(4) as SiblingOptions).door;
  const answers: (HostLink | undefined)[] = [];
  const ask = () => target.connect(STREAM_REQUEST, (link) => answers.push(link));
  return { doors, connections, inside, answers, ask };
}

t.test('the other guest is asked, and its answer is ours', async (t) => {
  const before = openDescriptors();
  const { doors, connections, inside, answers, ask } = scene();
  const end = new SiblingEnd(inside, connections);
  ask();
  ask();
  await until('visits', () => connections.opened.length === 2);
  t.match(connections.opened, [
    { type: 1, guestPort: STREAM_REQUEST.hostPort, link: { peer: { cid: 3, port: 5000 } } },
    { guestPort: STREAM_REQUEST.hostPort },
  ]);
  t.equal(answers.length, 0, 'not before the guest has answered');
  const [first, second] = connections.opened;
  first?.established(5000);
  native.fdClose(second?.link.fd as number);
  await until('answers', () => answers.length === 2);
  const link = answers.find((answer) => answer !== undefined) as HostLink;
  t.ok(answers.includes(undefined), 'one was refused');
  const bytes = Buffer.from('hello');
  native.hostSend(link.fd, bytes, 0, 5);
  t.equal(native.hostReceive(first?.link.fd as number, new Uint8Array(9), 0, 9, false), 5);
  for (const fd of [link.fd, first?.link.fd as number]) {
    native.fdClose(fd);
  }
  end.close();
  connections.close();
  doors.close();
  t.equal(openDescriptors(), before);
});

t.test('VS-030 a worker that does not look', async (t) => {
  const { doors, connections, answers, ask } = scene();
  const cancel = ask();
  cancel?.();
  let pending = 0;
  while (answers.length === 0 && pending < 10_000) {
    ask();
    pending++;
  }
  t.ok(pending < 10_000, `refused when ${pending} wait at the door`);
  connections.pass(3000);
  t.equal(answers.length, pending, 'the others after three seconds');
  t.ok(answers.every((answer) => answer === undefined));
  t.equal(connections.watching, 0);
  doors.close();
});
