import t from 'tap';
import { readState, writeState } from '../../../src/core/device-state/state-pipe.js';
import { native } from '../../../src/native/index.js';
import { openDescriptors, socketPair } from '../../support/resources.js';

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => i % 253);

t.test('what goes in comes out, in pieces when it is more than the channel holds', async (t) => {
  for (const length of [0, 1, 16, 65536, 1_000_000]) {
    const before = openDescriptors();
    const [from, to] = socketPair();
    const read = readState(to, length);
    await writeState(from, bytes(length));
    native.fdClose(from);
    t.equal(Buffer.compare(await read, bytes(length)), 0, `${length} bytes`);
    native.fdClose(to);
    t.equal(openDescriptors(), before);
  }
});

t.test('state that is too long', async (t) => {
  const [from, to] = socketPair();
  await writeState(from, bytes(17));
  await t.rejects(readState(to, 16), { message: 'device state of more than 16 bytes' });
  native.fdClose(from);
  native.fdClose(to);
});

t.test('an end that rests, and one that is gone', async (t) => {
  const [from, to] = socketPair();
  const idle = { idleTimeoutMs: 10 };
  const rests = { message: /rests too long/ };
  await t.rejects(readState(to, 16, idle), rests);
  await t.rejects(writeState(from, bytes(10_000_000), idle), rests);
  native.fdClose(to);
  await t.rejects(writeState(from, bytes(1)), { code: 'EPIPE' });
  native.fdClose(from);
});
