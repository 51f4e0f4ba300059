import { fstatSync } from 'node:fs';
import t from 'tap';
import { SharedMemory } from '../../../src/core/frontend/index.js';
import { native } from '../../../src/native/index.js';

t.test('one file, three views of it', async (t) => {
  const memory = new SharedMemory({ sizeBytes: 8192, guestBase: 0x1000n, userBase: 0x9000n });
  t.teardown(() => memory.close());
  t.equal(fstatSync(memory.fd).size, 8192);
  memory.bytes[5] = 0x42;
  const again = native.mapShared(memory.fd, 0, 8192) as ArrayBuffer;
  t.equal(new Uint8Array(again)[5], 0x42, 'shared, not private');
  t.equal(memory.view.getUint8(5), 0x42);
  t.same(memory.region, {
    guestAddress: 0x1000n,
    userAddress: 0x9000n,
    sizeBytes: 8192n,
    mmapOffsetBytes: 0n,
  });
  t.same([memory.guestAddress(16), memory.userAddress(16)], [0x1010n, 0x9010n]);
});

t.test('allocation', async (t) => {
  const memory = new SharedMemory({ sizeBytes: 4096 });
  t.teardown(() => memory.close());
  t.equal(memory.allocate(1), 0);
  t.equal(memory.allocate(10, 64), 64);
  const mark = memory.mark();
  t.equal(memory.allocate(1, 1), 74);
  memory.reset(mark);
  t.equal(memory.allocate(1, 1), 74, 'given back');
  t.throws(() => memory.allocate(4096), RangeError);
});
