import t from 'tap';
import { StateTransfer } from '../../../src/core/session/state-transfer.js';
import { eventfd, openDescriptors } from '../../support/resources.js';

t.test('runs until the device is done, then closes the descriptor', async (t) => {
  const before = openDescriptors();
  for (const failure of [undefined, new Error('bad state')]) {
    let finish = () => {};
    const fd = eventfd();
    const transfer = new StateTransfer(fd, async (given) => {
      t.equal(given, fd);
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      if (failure !== undefined) {
        throw failure;
      }
    });
    t.equal(transfer.running, true);
    t.equal(openDescriptors(), before + 1);
    finish();
    t.equal(await transfer.ended, failure);
    t.equal(transfer.running, false);
    t.equal(openDescriptors(), before);
  }
});

t.test('a device that fails at once, or with nothing', async (t) => {
  const thrown = new StateTransfer(eventfd(), () => {
    throw new Error('at once');
  });
  t.match(await thrown.ended, { message: 'at once' });
  const nothing = new StateTransfer(eventfd(), () => Promise.reject(undefined));
  t.match(await nothing.ended, { message: 'the transfer failed' });
});
