import t from 'tap';
import { Credit } from '../../../src/devices/vsock/credit.js';

const ROOM = 262_144;

t.test('what we may send', async (t) => {
  const credit = new Credit(ROOM);
  t.equal(credit.sendable, 0, 'nothing before the guest has spoken');
  credit.heard(100, 0);
  credit.sent(60);
  t.equal(credit.sendable, 40);
  credit.heard(100, 60);
  t.equal(credit.sendable, 100);
  credit.sent(80);
  credit.heard(50, 60);
  t.equal(credit.sendable, 0, 'VS-022: less than is on its way');
  credit.heard(100, 141);
  t.equal(credit.inFlight, 80, 'VS-024: more than was sent is not believed');
  credit.heard(100, 59);
  t.equal(credit.inFlight, 80, 'nor a count that went back');
});

t.test('VS-025 counters pass 2^32', async (t) => {
  const credit = new Credit(ROOM);
  const step = 2 ** 30 + 12_345;
  let total = 0;
  credit.heard(0xffff_ffff, 0);
  for (let i = 0; i < 9; i++) {
    credit.sent(step);
    total += step;
    t.equal(credit.inFlight, step);
    credit.heard(0xffff_ffff, total >>> 0);
    t.equal(credit.sendable, 0xffff_ffff);
  }
  for (let i = 0; i < 70_000; i++) {
    if (!credit.receive(65_536)) {
      t.fail('room was there');
    }
    credit.forward(65_536);
  }
  t.equal(credit.forwarded, (70_000 * 65_536) >>> 0);
  t.equal(credit.held, 0);
});

t.test('VS-020 what the guest may send', async (t) => {
  const credit = new Credit(ROOM);
  t.ok(credit.receive(ROOM));
  t.notOk(credit.receive(1));
  t.equal(credit.held, ROOM, 'nothing was counted');
  credit.forward(1);
  t.ok(credit.receive(1));
});

t.test('when the guest is told of room', async (t) => {
  const stream = new Credit(ROOM);
  stream.receive(ROOM / 2);
  stream.forward(ROOM / 2 - 1);
  t.notOk(stream.updateDue(false));
  stream.forward(1);
  t.ok(stream.updateDue(false));
  stream.announce();
  t.notOk(stream.updateDue(false));
  // A message that needs nearly all there is, after small ones nobody was told of.
  const messages = new Credit(ROOM);
  messages.receive(1000);
  messages.forward(1000);
  t.notOk(messages.updateDue(true), 'there is room enough');
  messages.receive(ROOM - 1000);
  t.ok(messages.updateDue(true));
  t.notOk(messages.updateDue(false));
});
