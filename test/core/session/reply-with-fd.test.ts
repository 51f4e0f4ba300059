import t from 'tap';
import { ReplyWithFd } from '../../../src/core/session/reply-with-fd.js';
import { eventfd, openDescriptors } from '../../support/resources.js';

t.test('the descriptor is closed when the reply is out, and when it is not', async (t) => {
  const before = openDescriptors();
  const fd = eventfd();
  let sent: readonly number[] = [];
  const reply = new ReplyWithFd(7n, fd);
  t.equal(reply.payload, 7n);
  reply.send((fds) => {
    sent = fds;
    t.equal(openDescriptors(), before + 1);
  });
  t.same(sent, [fd]);
  t.equal(openDescriptors(), before);
  const failing = new ReplyWithFd(undefined, eventfd());
  t.throws(
    () =>
      failing.send(() => {
        throw new Error('gone');
      }),
    { message: 'gone' },
  );
  t.equal(openDescriptors(), before);
});
