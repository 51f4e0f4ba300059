import t from 'tap';
import { FdBag } from '../../../src/core/connection/fd-bag.js';
import { native } from '../../../src/native/index.js';
import { eventfd, openDescriptors } from '../../support/resources.js';

t.test('every descriptor has one owner', async (t) => {
  const before = openDescriptors();
  const bag = new FdBag();
  const fds = [eventfd(), eventfd(), eventfd()];
  for (const fd of fds) {
    bag.add(fd);
  }
  t.equal(bag.count, 3);
  t.same(bag.borrow(), fds);
  t.equal(bag.count, 3, 'borrowed, not taken');
  const taken = bag.take();
  t.equal(taken, fds[0]);
  t.same(bag.borrow(), fds.slice(1));
  bag.close();
  t.equal(bag.count, 0);
  t.equal(openDescriptors(), before + 1, 'all but the one taken');
  t.equal(native.eventfdSignal(taken), 0);
  native.fdClose(taken);
  bag.close();
  t.equal(openDescriptors(), before, 'closing twice closes nothing else');
});

t.test('taking what is not there is our own mistake', async (t) => {
  t.throws(() => new FdBag().take(), { name: 'AssertionFailure' });
});
