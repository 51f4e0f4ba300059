import t from 'tap';
import { GuestMemory } from '../../../src/core/memory/guest-memory.js';
import { Postcopy, postcopySupported } from '../../../src/core/session/postcopy.js';
import { native } from '../../../src/native/index.js';
import { memfd, openDescriptors } from '../../support/resources.js';

const skip = postcopySupported() ? false : 'the kernel forbids userfaultfd';
const ADD_MEM_REG = 37;

t.test('out of order', async (t) => {
  const postcopy = new Postcopy();
  t.throws(() => postcopy.listen(0), { code: 'SESSION_STATE' }, 'not advised');
  const memory = GuestMemory.empty();
  t.equal(postcopy.end(memory), false);
  memory.release();
});

t.test('from advice to end', { skip }, async (t) => {
  const before = openDescriptors();
  const postcopy = new Postcopy();
  postcopy.advise();
  t.throws(() => postcopy.advise(), { code: 'SESSION_STATE' }, 'advised twice');
  t.throws(() => postcopy.listen(1), { code: 'SESSION_STATE' }, 'memory was there before');
  postcopy.listen(0);
  t.throws(() => postcopy.listen(0), { code: 'SESSION_STATE' }, 'listening twice');
  const fd = memfd(65536);
  const region = {
    guestAddress: 0n,
    userAddress: 0x7000_0000n,
    sizeBytes: 65536n,
    mmapOffsetBytes: 0n,
  };
  const ack = (payload: Uint8Array, count = 0, request = ADD_MEM_REG) =>
    postcopy.isAck({ header: { request }, payload, fds: { count } });
  t.equal(ack(new Uint8Array(8)), false, 'nothing to acknowledge');
  postcopy.stage(GuestMemory.of([{ ...region, fd }]));
  postcopy.stage(GuestMemory.of([{ ...region, fd }]));
  t.equal(ack(new Uint8Array(8), 1), false);
  t.equal(ack(new Uint8Array(40)), false);
  t.equal(ack(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)), false);
  t.equal(ack(new Uint8Array(8), 0, 1), false);
  t.equal(ack(new Uint8Array(8)), true);
  const memory = postcopy.acknowledged();
  t.equal(memory.regionCount, 1);
  t.equal(postcopy.staged, undefined);
  t.equal(postcopy.end(memory), true);
  t.equal(postcopy.end(memory), false);
  memory.release();
  native.fdClose(fd);
  t.equal(openDescriptors(), before);
});
